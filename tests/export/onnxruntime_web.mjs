// Runs a file on onnxruntime-web's WebAssembly: node onnxruntime_web.mjs MODEL FEEDS RESULTS, the tensors as JSON.
import { readFileSync, writeFileSync } from 'node:fs';

import * as ort from 'onnxruntime-web';

const [model, feeds, results] = process.argv.slice(2);
ort.env.wasm.numThreads = 1;
const session = await ort.InferenceSession.create(readFileSync(model), { executionProviders: ['wasm'], logSeverityLevel: 3 });
const arrays = {
  float32: (values) => Float32Array.from(values),
  int64: (values) => BigInt64Array.from(values.map(BigInt)),
};
const inputs = {};
for (const [name, { type, dims, data }] of Object.entries(JSON.parse(readFileSync(feeds)))) {
  inputs[name] = new ort.Tensor(type, arrays[type](data), dims);
}
const outputs = {};
for (const [name, { type, dims, data }] of Object.entries(await session.run(inputs))) {
  outputs[name] = { type, dims, data: Array.from(data, Number) };
}
writeFileSync(results, JSON.stringify(outputs));

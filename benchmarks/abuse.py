"""What a bystander feels while a server is abused, and whether a flood of damaged requests does any harm.

    python benchmarks/abuse.py [--messages 100000]

A real `medxgan serve` on loopback, the shipped phantom bundle. During each attack another client, from an address of
its own, classifies a small tensor over and over. Then damaged requests are sent: protobuf messages with bytes changed,
cut off and exchanged, and DICOM, PNG, TIFF and JPEG files damaged likewise. Every answer must be a result or a refusal:
an INTERNAL, an UNKNOWN, a passed deadline or a server that is gone ends this with an error.

Writes docs/reliability-figures.md. Everything is bounded: in number, in time, and to loopback.
"""

import argparse
import io
import os
import platform
import random
import statistics
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from attacks import ATTACKS, dicom, tensor
from bystander import Bystander
from PIL import Image as PillowImage
from pydicom.uid import ExplicitVRLittleEndian
from serving import ROOT, MemoryWatch, Server, served

from medxgan.v1.explanation_pb2 import ClassifyRequest, ExplainRequest, ExplainSettings, Image, ModelSelector
from medxgan.v1.explanation_pb2_grpc import ExplanationServiceStub

RESULTS = ROOT / "docs" / "reliability-figures.md"
MODEL = ModelSelector(name="phantom")
DEADLINE = 120.0
UNBOUNDED = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
}


def attack(server: Server, image: Image, times: int) -> tuple[Counter[str], float]:
    """Send an attack; the codes that answer it, and the seconds until the last answer."""
    began = time.perf_counter()

    def send(_: int) -> str:
        with grpc.insecure_channel(server.address, UNBOUNDED) as channel:
            try:
                ExplanationServiceStub(channel).Classify(ClassifyRequest(model=MODEL, image=image), timeout=DEADLINE)
            except grpc.RpcError as error:
                return error.code().name
            return "OK"

    with ThreadPoolExecutor(times) as callers:
        codes = Counter(callers.map(send, range(times)))
    return codes, time.perf_counter() - began


def measure_attacks(server: Server) -> list[str]:
    """A row of the table for each attack."""
    with Bystander(server.address) as alone:
        time.sleep(3)
    idle = server.memory_megabytes()
    rows = [
        "| attack | answers | s | bystander, ms: median, 95 %, longest | highest MB above idle: server and workers; "
        "the server alone, with all that waits |",
        "|---|---|---|---|---|",
        f"| none | | | {_summary(alone)} | {idle.together:.0f} and {idle.server:.0f} in all |",
    ]
    for name, (make, times) in ATTACKS.items():
        with MemoryWatch(server) as memory, Bystander(server.address) as bystander:
            codes, seconds = attack(server, make(), times)
            time.sleep(0.5)
        bad = {code for code in codes if code not in {"OK", "INVALID_ARGUMENT", "RESOURCE_EXHAUSTED"}}
        if bad:
            sys.exit(f"{name}: answered by {', '.join(sorted(bad))}")
        answers = ", ".join(f"{code} {count}" for code, count in codes.most_common())
        highest = [max(0.0, memory.together - idle.together), max(0.0, memory.alone - idle.server)]
        rows.append(
            f"| {name} | {answers} | {seconds:.1f} | {_summary(bystander)} | {highest[0]:.0f}; {highest[1]:.0f} |"
        )
        print(rows[-1], flush=True)
    return rows


def _summary(bystander: Bystander) -> str:
    times = sorted(bystander.milliseconds)
    if not times:
        return "no answer"
    return f"{statistics.median(times):.0f}, {times[int(0.95 * (len(times) - 1))]:.0f}, {times[-1]:.0f}"


def damaged(content: bytes, chance: random.Random) -> bytes:
    """Bytes changed, cut off, doubled or exchanged."""
    spoilt = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4, 16])):
        at = chance.randrange(len(spoilt)) if spoilt else 0
        match chance.randrange(5):
            case 0 if spoilt:
                spoilt[at] = chance.randrange(256)
            case 1 if spoilt:
                spoilt[at] ^= 1 << chance.randrange(8)
            case 2:
                del spoilt[at:]
            case 3:
                spoilt[at:at] = spoilt[at : at + chance.randrange(1, 40)]
            case _:
                spoilt[at : at + 4] = chance.randbytes(4)
    return bytes(spoilt)


def seeds() -> dict[str, bytes]:
    """A small file of each form."""
    levels = np.random.default_rng(1).integers(0, 256, (24, 32), np.uint8)
    files = {}
    for form in ("PNG", "TIFF", "JPEG"):
        file = io.BytesIO()
        PillowImage.fromarray(levels).save(file, form)
        files[form] = file.getvalue()
    return files | {"DICOM": dicom(levels, ExplicitVRLittleEndian)}


def flood(server: Server, messages: int) -> list[str]:
    """Send damaged requests; a row of the table for each form."""
    chance = random.Random(20220425)
    whole = ExplainRequest(model=MODEL, image=tensor(16), settings=ExplainSettings(target_class="lesion"))
    files = seeds()
    # A file costs a process, so that most messages are damaged protobufs.
    share = {"protobuf": messages - 4 * (messages // 20)} | dict.fromkeys(files, messages // 20)
    rows = ["| damaged | messages | answers | s |", "|---|---|---|---|"]
    with grpc.insecure_channel(server.address, UNBOUNDED) as channel:
        classify = channel.unary_unary("/medxgan.v1.ExplanationService/Classify")
        for form, count in share.items():

            def send(seed: int, form: str = form) -> str:
                dice = random.Random(seed)
                if form == "protobuf":
                    request = damaged(whole.SerializeToString(), dice)
                else:
                    content = damaged(files[form], dice)
                    image = Image(dicom=content) if form == "DICOM" else Image(encoded=content)
                    request = ClassifyRequest(model=MODEL, image=image).SerializeToString()
                while True:
                    try:
                        classify(request, timeout=DEADLINE)
                    except grpc.RpcError as error:
                        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                            time.sleep(0.05)
                            continue
                        if error.code() not in REFUSALS:
                            sys.exit(f"{form}, seed {seed}: {error.code().name}: {error.details()}")
                        return error.code().name
                    return "OK"

            began = time.perf_counter()
            with ThreadPoolExecutor(16) as callers:
                codes = Counter(callers.map(send, [chance.randrange(2**62) for _ in range(count)]))
            answers = ", ".join(f"{code} {number}" for code, number in codes.most_common())
            rows.append(f"| {form} | {count} | {answers} | {time.perf_counter() - began:.0f} |")
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="damaged requests")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with served() as server:
        attacks = measure_attacks(server)
        flooded = flood(server, options.messages)
        with Bystander(server.address) as after:
            time.sleep(3)
        recovered = f"Afterwards the bystander is answered in {_summary(after)} ms (median, 95 %, longest)."
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[2]
    machine = f"{platform.machine()}, Python {platform.python_version()}, gRPC {grpc.__version__}"
    machine += f", {cores} cores, load {before:.1f} before and {load:.1f} over the last quarter of an hour"
    command = f"`python benchmarks/abuse.py --messages {options.messages}`, {machine}"
    page = ["# Reliability, measured", "", command, "", *attacks, "", *flooded, "", recovered, ""]
    RESULTS.write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()

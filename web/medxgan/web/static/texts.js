// Every English word of the reading room.

const percent = (share) => `${Math.round(share * 100)} %`;
const number = (value, digits = 3) => (value === null || value === undefined ? "–"
  : Number(value).toPrecision(digits).replace("-", "−"));
// None where the number was none, as of a network that overflowed.
const score = (probability) => probability?.toFixed(3) ?? "–";

export const T = {
  percent,
  number,
  title: "medxgan reading room",
  notDevice: "Research use only. Not a medical device.",
  skip: "Skip to the film",

  header: {
    home: "Reading room, start",
    model: "Model",
    open: "Open",
    openTitle: "Open another film",
    gallery: "Gallery",
    report: "Report",
    reportTitle: "A table of many films and what was measured on them",
    gateway: "Gateway",
    gatewayTitle: "Films that the gateway holds",
    archive: "Archive",
    archiveTitle: "Studies of the archive",
    help: "Help",
    helpTitle: "Keyboard and help (?)",
    forget: "Forget my films",
    forgetTitle: "End the session: its films and explanations are gone from memory",
  },

  start: {
    heading: "See why a classifier says “positive”",
    lead: "Drop a film here. It is explained by the same patient without the pathology: what the classifier looked at "
      + "becomes what differs between the two.",
    drop: "Drop a DICOM, PNG, JPEG or TIFF file here",
    choose: "Choose a file…",
    sample: "Open the sample: a drawn slice, of nobody",
    sampleName: "Sample film",
    served: (index, count) => (count > 1 ? `Open the film of this reading room, ${index} of ${count}`
      : "Open the film of this reading room"),
    gallery: "Look through the gallery of explanations",
    report: "Look through the report, film by film",
    gateway: "Open a film of the gateway",
    archive: "Open a study of the archive",
    kept: (minutes) => `A film stays in this computer’s memory for this session alone, and is gone ${minutes} minutes `
      + "after you last used it. Its name does not leave your browser.",
    reading: "Reading the film…",
    films: "Open films",
    film: (index) => `Film ${index}`,
    close: (name) => `Close ${name}`,
  },

  signIn: {
    heading: "Sign in",
    lead: "This reading room asks for a token: its own, or yours of the medxgan server.",
    token: "Token",
    enter: "Sign in",
  },

  ended: "The session has ended, and its films are gone. Open a film to begin again.",

  errors: {
    heading: "That did not work",
    gone: "The reading room does not answer. It may have been stopped: start it again, then reload this page.",
    fault: "The reading room failed. Its log says more.",
    away: "The medxgan server does not answer. Is it running?",
    busy: "The server is busy with the requests of others. Try again in a moment.",
    webgl: "This browser can’t draw the film: it needs WebGL 2.",
    size: "This film is larger than what the graphics of this browser can draw.",
    again: "Try again",
    close: "Close",
  },

  progress: {
    begins: "The server reads the film…",
    inversion: "Searching for the latent code that draws this film",
    positive_realization: "Searching for what would make it positive",
    steps: (taken, total) => `${taken} of at most ${total} steps`,
    done: (verdict) => `Explained. The verdict: ${verdict}.`,
    cancel: "Cancel",
    cancelled: "Cancelled.",
  },

  layers: {
    label: "Picture",
    film: "Film",
    original: "As seen",
    originalTitle: "The film as the networks see it: cut, reduced, stretched",
    reconstruction: "Reconstruction",
    reconstructionTitle: "The nearest picture that the generator can draw: G(z1, z2)",
    negative_realization: "Negative",
    negative_realizationTitle: "The same patient without the pathology: G(z1, 0)",
    less: "Film − difference",
    lessTitle: "The applied negative at full size: the film itself, less what the difference map shows",
    applied_negative: "Applied negative",
    applied_negativeTitle: "The image as seen, less the difference",
    positive_realization: "Positive",
    positive_realizationTitle: "The least that was found that would make it positive",
    trajectory: (position) => `On the way, ${percent(position)}`,
    compare: "Compare with",
    nothing: "nothing",
    blink: "Blink",
    blinkTitle: "Switch between the two pictures (Space)",
    swipe: "Swipe",
    swipeTitle: "Both pictures, on either side of a line (S)",
    swipeAt: "Place of the line",
  },

  tools: {
    label: "Drag to",
    pan: "Move",
    window: "Window",
    region: "Region",
    fit: "Fit",
    fitTitle: "The whole film (F)",
    zoomIn: "Zoom in (+)",
    zoomOut: "Zoom out (−)",
    resetLabel: "Window of",
    reset: "the film",
    resetTitle: "The window of the film as it came (W)",
    modelWindow: "the model",
    modelWindowTitle: "The grey levels between which the model saw it (E)",
  },

  canvas: (name) => `${name}. Arrow keys move it, plus and minus zoom; the numbers under the pointer are below.`,

  probe: {
    nothing: "",
    place: (row, column) => `row ${row}, column ${column}`,
    level: (value, unit) => `level ${value}${unit ? ` ${unit}` : ""}`,
  },

  verdict: {
    heading: "Verdict",
    reliable: "Reliable",
    not_reliable: "Not reliable",
    not_applicable: "Not applicable",
    not_assessed: "Not assessed",
    other: "Unrecognised",
    sentence: {
      reliable: "Every check passed: the reconstruction is near the film, and taking the difference away turns the "
        + "classifier.",
      not_reliable: "At least one check failed. Read the pictures with this in mind:",
      not_applicable: "There is nothing to explain:",
      not_assessed: "No map was asked for that can be checked.",
      other: "This reading room does not know the verdict: a newer one is needed.",
    },
    speaks: "It speaks of the classifier, not of the patient.",
  },

  scores: {
    value: score,
    heading: (positive) => `Probability of ${positive}`,
    original: "Film",
    reconstruction: "Reconstruction",
    negative_realization: "Negative",
    applied_negative: "Film − difference",
    positive_realization: "Made positive",
    positive: "positive",
    negative: "negative",
    threshold: (value) => `Positive from ${number(value, 2)}`,
  },

  makesPositive: {
    heading: "What would make it positive",
    found: "The least change that was found with which the classifier says “positive”, with the same anatomy.",
    lost: "The steps ran out before the classifier said “positive”: more of them may find it.",
    change: "Change to positive",
    show: "Show it",
    none: "Nothing: its negative realization is positive already.",
  },

  tabs: { label: "More", maps: "Maps", question: "Question", model: "Model" },

  maps: {
    none: "No map",
    list: "Maps over the film",
    compute: "Compute all maps",
    computeNote: "The integrals of gradients and occlusion take a few seconds.",
    beside: "Side by side",
    besideTitle: "All maps at once (B)",
    back: "Back to the film",
    own: "Each its own scale",
    one: "One scale per unit",
    scaleLabel: "Scale of the maps",
    scaleNote: "On its own scale each map ends at its largest magnitude: compare where, not how much.",
    opacity: "Opacity",
    threshold: "Hide below",
    colors: "Colours",
    faded: "Fade small values",
    smooth: "Interpolate",
    completeness: (error) => `Adds up to the score’s change but for ${number(error, 2)}.`,
    uncertainty: "Ask for 2 or more restarts under Question to see how much of it is owed to the start of the search.",
  },

  trajectory: {
    heading: "From negative to positive",
    slider: "Place on the way from negative to positive",
    play: "Play",
    stop: "Stop",
    at: (position, probability) => `${percent(position)} of the way: score ${score(probability)}`,
  },

  question: {
    lead: "Change what is asked, run again, and see what moves.",
    run: "Run again",
    steps: "Steps",
    reconstruction_weight: "Weight of likeness (λ)",
    seed: "Seed",
    solver: "Solver",
    solvers: { adam: "Adam", lbfgs: "L-BFGS" },
    target: "Class to explain",
    targetNote: (positive) => `the difference is of ${positive} alone`,
    restarts: "Restarts",
    path_steps: "Points of the path",
    baseline: "Baseline",
    window: "Occlusion window",
    occlusion_level: "Occlusion level",
    stepsNote: (most) => `up to ${most}`,
    rangeNote: (low, high) => `${low} to ${high}`.replaceAll("-", "−"),
    restartsNote: "2 or more: uncertainty",
    frame: "Frame",
    moved: "What moved, against the run before",
    before: "before",
    now: "now",
    verdict: "Verdict",
    error: "Error of the reconstruction",
    alike: "Likeness of the two difference maps",
    spread: "Spread over the restarts",
    seconds: "Seconds",
    region: "Region",
    regionLead: "Draw a region on the film with the tool “Region” (R).",
    regionByKey: "Region in the middle of the view",
    share: "Share of each map inside",
    area: "Share of the area",
    erase: "Erase it and score again",
    erased: (before, after) => `Score ${number(before)} with it, ${number(after)} without: it is filled with the `
      + "median of its surroundings.",
    erasedNote: "Filling may itself be unlike any film: a score that moves little says more than one that jumps.",
    clear: "Clear the region",
  },

  model: {
    images: "Made for",
    positive: "Positive means",
    promise: "What RELIABLE promises",
    promised: (p) => `Measured on ${p.images} explanations (${p.measured_on}): ${percent(p.coverage)} were RELIABLE.`
      + (p.difference_pointing === undefined ? " Of the place of the difference nothing is promised: no lesions are "
        + "marked in the data."
        : ` Of these, the difference was strongest on the lesion in ${percent(p.difference_pointing)} (at least `
        + `${percent(p.difference_pointing_lower_bound)}, with 95 % confidence)`)
      + (p.applied_negative_called_negative === undefined ? "."
        : `, and the image less the difference was called negative in ${percent(p.applied_negative_called_negative)}.`),
    notPromised: "It was not measured for this model what RELIABLE promises.",
    notAboutDisease: "RELIABLE does not say that the difference is the disease: a generator can learn what the "
      + "classifier reacts to, such as how a film was exposed.",
    limitations: "Known limits and shortcuts",
    noLimitations: "None are stated. That does not mean that there are none.",
    figures: "Measured",
    license: "Licence of the weights",
    engine: "Runs on",
    bundle: "Bundle",
    checks: "Is the film like those of the training?",
    check: (measured, maximum) => `${number(measured)}, up to ${number(maximum)}`,
    notes: "What was done to the film",
    settings: "Settings in force",
  },

  exports: { label: "Save", panel: "Panel (PNG)", json: "Numbers (JSON)", dicom: "DICOM (ZIP)",
    dicomNote: "Secondary Capture and structured report; where the verdict is not RELIABLE, the report alone" },

  gallery: {
    heading: "Gallery",
    lead: (count) => `${count} explanation${count === 1 ? "" : "s"}, failures first.`,
    empty: "There is no explanation in the folder. `medxgan explain FILE --out FOLDER` writes them.",
    sort: "Sort by",
    by: { verdict: "Verdict", score: "Score", error: "Error of the reconstruction",
      agreement: "Agreement of film and reconstruction", name: "Name" },
    score: (value) => `score ${number(value)}`,
    error: (value) => `error ${number(value, 2)}`,
    agreement: (value) => `agreement ${percent(value)}`,
    unreadable: "can’t be read",
    noFilm: "The film is not in the folder: what you see is the image as the networks saw it, from 8-bit files.",
  },

  report: {
    heading: (model) => (model ? `Report on ${model}` : "Report"),
    lead: (count, open) => `${count} film${count === 1 ? "" : "s"}, failures first. `
      + (open === count ? "Each opens by its name, and is explained anew by the server of this reading room."
        : open > 0 ? `At hand ${open === 1 ? "is" : "are"} ${open} of them: ${open === 1 ? "it opens by its name, and is"
          : "these open by their names, and are"} explained anew by the server of this `
          + "reading room."
          : "None of them is at hand: the report holds figures, no pictures."),
    start: "With --report-films FOLDER films open that are named as in the report.",
    damaged: (count) => `${count} ${count === 1 ? "part" : "parts"} of the report can’t be read, and ${count === 1 ? "is"
      : "are"} left out.`,
    empty: "There is no film in the report yet.",
    method: "Localisation of",
    film: "Film",
    absent: "not at hand",
    picture: (name, verdict) => `The film ${name}, small, without a map. Verdict: ${verdict}.`,
    noPicture: (name) => `No picture of ${name} can be shown`,
    columns: {
      verdict: ["Verdict", "Failures first"],
      score: ["Score", "What the classifier says of the film"],
      error: ["Error", "Mean squared error of the reconstruction"],
      agreement: ["Agreement", "How near the classifier’s answer on the reconstruction is to its answer on the film"],
      average_precision: ["Precision", "Average precision of the map against the marked lesion; a random map has the "
        + "lesion’s share of the image"],
      pointing_game: ["Pointing", "Whether the map’s strongest pixel lies in the marked lesion"],
      iou: ["IoU", "Overlap of the map’s strongest pixels with the marked lesion, over their union"],
      name: ["Film", "By name"],
    },
    methods: { random: "a random map", intensity: "the bright pixels", centre: "the middle of the image" },
    failed: "no explanation",
    more: (count) => `Show ${count} more`,
    caption: "Click a heading to sort by it, again for the other way round.",
  },

  archive: {
    heading: "Studies of the archive",
    patient: "Patient ID",
    earliest: "From",
    latest: "To",
    modality: "Modality",
    search: "Search",
    bounds: "By a whole Patient ID, or by days, of up to 31; a modality, such as DX, narrows either.",
    found: (count, more) => (count === 0 ? "The archive finds no such study."
      : `${count} stud${count === 1 ? "y" : "ies"}${more ? ", and there are more" : ""}.`),
    more: "Show more",
    cut: "The archive finds more than are shown here, and does not tell them by pages: narrow the search.",
    back: "Back to the studies",
    noDay: "No date",
    nobody: "Nobody is named",
    objects: (count) => `${count} object${count === 1 ? "" : "s"}`,
    study: "Study Instance UID",
    look: "Look it up",
    looking: "The archive is asked…",
    lead: (films, others) => `${films} film${films === 1 ? "" : "s"}${others ? `, and ${others} that ${others === 1 ? "is"
      : "are"} none` : ""}. A film is fetched when it is opened.`,
    film: (index) => `Film ${index} of the study`,
    object: (index) => `Object ${index} of the study`,
    skipped: (reason) => `No film: ${reason}`,
  },

  gateway: {
    heading: "Films of the gateway",
    lead: (count) => `${count} film${count === 1 ? "" : "s"}, failures first. They have numbers here: who the patient is, `
      + "the archive knows.",
    empty: "The gateway holds no film.",
    film: (number) => `Film ${number} of the gateway`,
    received: (time) => `came ${new Date(time).toLocaleString("en-GB")}`,
    kept: "Opens with the explanation that the gateway has.",
    anew: "It is explained when it is opened.",
    states: { received: "Waits", explained: "Explained", delivered: "Delivered", failed: "Failed" },
  },

  help: {
    heading: "Keyboard and help",
    close: "Close",
    shortcuts: "Keys of one letter",
    lead: "How to read what you see is in the documentation: docs/reading-an-explanation.md.",
    keys: [
      ["1 – 6", "Film, as seen, reconstruction, negative, …"],
      ["Space", "Blink between the picture and the one compared with"],
      ["S", "Swipe between the two"],
      ["O", "Map over the film, on and off"],
      ["M, Shift+M", "Next map, the one before"],
      ["[ and ]", "Less and more opacity"],
      [", and .", "Back and on along the trajectory"],
      ["+ and −", "Zoom"],
      ["Arrows", "Move the film, when it has the focus"],
      ["F", "The whole film"],
      ["W, E", "The window of the film as it came, of the model"],
      ["H, L, R", "Drag to move, to window, to draw a region"],
      ["B", "All maps side by side"],
      ["G", "Gallery"],
      ["?", "This help"],
      ["Esc", "Close what is open, stop what runs"],
    ],
    mouse: "Wheel: zoom. Right button: window and level. Shift and drag: move. Double click: the whole film. "
      + "On a tablet two fingers zoom and move.",
  },

  pageTitle: (what) => (what ? `${what} – medxgan reading room` : "medxgan reading room"),
  missing: "There is nothing at this address.",
};

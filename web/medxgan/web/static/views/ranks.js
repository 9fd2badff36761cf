// Failures come first.

const RANKS = ["not_reliable", "not_applicable", "not_assessed", "reliable"];

/** The place of a verdict among others: what can't be read or is not known before all. */
export const rank = (status) => RANKS.indexOf(status);

/** The place of what has no verdict yet. */
export const LAST = RANKS.length;

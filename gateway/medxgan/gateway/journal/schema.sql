-- One row for each SOP instance that was ever answered with success, or taken from a folder or an archive.
CREATE TABLE IF NOT EXISTS films (
    id INTEGER PRIMARY KEY,
    sop_instance_uid TEXT NOT NULL UNIQUE,
    sop_class_uid TEXT NOT NULL,
    pixels_sha256 TEXT NOT NULL,         -- of the pixel data as it came; empty where there is none
    source TEXT NOT NULL,                -- dicom, folder, dicomweb
    file TEXT,                           -- below the folder of films; NULL where it was ignored or is deleted
    state TEXT NOT NULL CHECK (state IN ('received', 'explained', 'delivered', 'ignored', 'failed', 'dead')),
    rule TEXT NOT NULL,                  -- that took it, or why it is ignored
    reason TEXT NOT NULL,                -- the same, or what went wrong last
    model TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL DEFAULT '',
    bundle_sha256 TEXT,                  -- of the model that made the results
    verdict TEXT,
    received REAL NOT NULL,              -- seconds since the epoch, as all times
    changed REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0, -- failed ones, of the step that comes next
    faults INTEGER NOT NULL DEFAULT 0,   -- those of them that should not be
    first_failed REAL,
    next_attempt REAL NOT NULL,
    committed INTEGER NOT NULL DEFAULT 0 -- whether storage commitment was given
) STRICT;
CREATE INDEX IF NOT EXISTS films_by_state ON films (state, next_attempt);

-- The objects made of a film, in the order of their series.
CREATE TABLE IF NOT EXISTS results (
    film INTEGER NOT NULL REFERENCES films (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    sop_instance_uid TEXT NOT NULL UNIQUE,
    sop_class_uid TEXT NOT NULL,
    file TEXT NOT NULL,                  -- below the folder of results
    PRIMARY KEY (film, number)
) STRICT;

-- What is owed to each destination of an explained film.
CREATE TABLE IF NOT EXISTS deliveries (
    film INTEGER NOT NULL REFERENCES films (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'delivered', 'failed', 'dead')),
    reason TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    first_failed REAL,
    next_attempt REAL NOT NULL,
    PRIMARY KEY (film, destination)
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_by_destination ON deliveries (destination, state, next_attempt);

-- What a destination has answered for each object.
CREATE TABLE IF NOT EXISTS receipts (
    film INTEGER NOT NULL REFERENCES films (id) ON DELETE CASCADE,
    destination TEXT NOT NULL,
    sop_instance_uid TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    status TEXT NOT NULL,                -- in hexadecimal digits
    PRIMARY KEY (film, destination, sop_instance_uid)
) STRICT;

-- Storage commitment that was asked for and is not answered yet.
CREATE TABLE IF NOT EXISTS commitments (
    transaction_uid TEXT NOT NULL,
    peer TEXT NOT NULL,                  -- AE title
    instances TEXT NOT NULL,             -- JSON: [[SOP class UID, SOP instance UID], ...]
    attempts INTEGER NOT NULL DEFAULT 0,
    first_failed REAL,
    next_attempt REAL NOT NULL,
    PRIMARY KEY (transaction_uid, peer)
) STRICT;

-- Where looking at an archive was left off.
CREATE TABLE IF NOT EXISTS cursors (
    archive TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT;

-- The reference tables of the demo, as a team would keep them in its own database.
CREATE TABLE airlines (
    carrier text PRIMARY KEY,
    name text NOT NULL
);
CREATE TABLE airports (
    faa text PRIMARY KEY,
    name text NOT NULL,
    lat double precision,
    lon double precision,
    alt integer,
    tz integer,
    dst text,
    tzone text
);
CREATE TABLE planes (
    tailnum text PRIMARY KEY,
    year integer,
    type text,
    manufacturer text,
    model text,
    engines integer,
    seats integer,
    speed integer,
    engine text
);
CREATE TABLE weather (
    origin text NOT NULL,
    year integer NOT NULL,
    month integer NOT NULL,
    day integer NOT NULL,
    hour integer NOT NULL,
    temp double precision,
    dewp double precision,
    humid double precision,
    wind_dir integer,
    wind_speed double precision,
    wind_gust double precision,
    precip double precision,
    pressure double precision,
    visib double precision,
    time_hour timestamptz NOT NULL,
    PRIMARY KEY (origin, time_hour)
);

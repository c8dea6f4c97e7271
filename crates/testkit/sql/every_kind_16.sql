-- Came with 16: collations with rules, storage in CREATE TABLE.
CREATE COLLATION app.with_rules (provider = icu, locale = 'und', rules = '&V << w <<< W');
CREATE TABLE app.since_16 (id integer PRIMARY KEY, body text STORAGE EXTERNAL COLLATE app.with_rules);
INSERT INTO app.since_16 VALUES (1, 'w'), (2, 'V'), (3, repeat('0x1F 0b11 1_000 ', 1000));

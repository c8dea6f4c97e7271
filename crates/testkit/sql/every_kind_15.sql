-- Came with 15: NULLS NOT DISTINCT, publications of schemas, rows and columns, views as the invoker, rights on settings.
CREATE TABLE app.since_15 (
    id integer PRIMARY KEY,
    code text UNIQUE NULLS NOT DISTINCT,
    rounded numeric(3, -2),
    customer integer,
    other integer,
    FOREIGN KEY (customer) REFERENCES app.customer ON DELETE SET NULL (customer)
);
INSERT INTO app.since_15 VALUES (1, NULL, 12345, 1, 1), (2, 'x', -99949, NULL, NULL);
CREATE VIEW app.as_invoker WITH (security_invoker) AS SELECT * FROM app.secret;
CREATE PUBLICATION "a schema" FOR TABLES IN SCHEMA "My schema";
CREATE PUBLICATION some_rows FOR TABLE app.orders (id, customer) WHERE (id > 10);
GRANT SET ON PARAMETER log_min_duration_statement TO reader;

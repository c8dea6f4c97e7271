use std::path::Path;

use howdah_domain::TlsMode;
use rstest::rstest;

use super::*;

fn parsed(text: &str) -> Parsed {
    match parse_connection(text, &Defaults::default()) {
        Ok(parsed) => parsed,
        Err(error) => panic!("{text:?} was not understood: {error}"),
    }
}

fn refused(text: &str) -> Failure {
    match parse_connection(text, &Defaults::default()) {
        Ok(parsed) => panic!("{text:?} was understood as {}", parsed.connection.display()),
        Err(error) => error.to_failure(),
    }
}

/// `role:password@host port/database`, for the tables below.
fn shown(parsed: &Parsed) -> String {
    let connection = &parsed.connection;
    let password = parsed
        .password
        .as_ref()
        .map_or(String::new(), |p| format!(":{}", p.expose()));
    format!(
        "{}{password}@{} {}/{}",
        connection.role, connection.host, connection.port, connection.database
    )
}

#[rstest]
#[case("postgres://u:pw@h:5433/db", "u:pw@h 5433/db")]
#[case("postgresql://u:pw@h/db", "u:pw@h 5432/db")]
#[case("POSTGRES://u@h/db", "u@h 5432/db")]
#[case("postgresql://u@h", "u@h 5432/u")]
#[case("postgresql://h", "postgres@h 5432/postgres")]
#[case("postgresql://", "postgres@localhost 5432/postgres")]
#[case("postgresql:///db", "postgres@localhost 5432/db")]
#[case("postgresql://u@/db", "u@localhost 5432/db")]
#[case("postgresql:///db?host=/run/postgresql", "postgres@/run/postgresql 5432/db")]
#[case("postgresql://%2Frun%2Fpostgresql/db", "postgres@/run/postgresql 5432/db")]
#[case("postgresql://u@h:/db", "u@h 5432/db")]
#[case("postgresql://u:@h/db", "u@h 5432/db")]
#[case("postgresql://u:p%40s%3As%2F%25@h/d%20b", "u:p@s:s/%@h 5432/d b")]
#[case("postgresql://%C3%A4@h/%F0%9F%90%98", "ä@h 5432/🐘")]
#[case("postgresql://u@[::1]:5433/db", "u@::1 5433/db")]
#[case("postgresql://u@[2001:db8::1]/db", "u@2001:db8::1 5432/db")]
#[case("postgresql://u:pw@a:1,b:2/db", "u:pw@a 1/db")]
#[case("postgresql://h/db?user=u&password=pw&port=6000", "u:pw@h 6000/db")]
#[case("postgresql://u:p@ss@h/db", "u:p@ss@h 5432/db")]
#[case("postgresql://u:p?w@h/db", "u:p?w@h 5432/db")]
#[case("postgresql://u:pa/ss@h:5433/db", "u:pa/ss@h 5433/db")]
#[case("postgresql://u:p#w@h/db", "u:p#w@h 5432/db")]
#[case("postgresql://u:50%off@h/db", "u:50%off@h 5432/db")]
#[case("postgresql+asyncpg://u:pw@h/db", "u:pw@h 5432/db")]
#[case("postgis://u:pw@h/db", "u:pw@h 5432/db")]
#[case(
    "postgresql://postgres.abc:pw@aws-0.pooler.supabase.com:5432/postgres",
    "postgres.abc:pw@aws-0.pooler.supabase.com 5432/postgres"
)]
#[case("postgresql://u@h/a%3Db?host=other", "u@other 5432/a=b")]
fn a_url_is_understood(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(&parsed(text)), expected);
}

#[rstest]
#[case("host=h port=5433 user=u password=pw dbname=db", "u:pw@h 5433/db")]
#[case("host = h  port= 5433 user =u", "u@h 5433/u")]
#[case(
    "host=h user=u dbname='my db' password='it\\'s \\\\ here'",
    "u:it's \\ here@h 5432/my db"
)]
#[case("host=h password=a\\ b user=u", "u:a b@h 5432/u")]
#[case("host=h\nuser=u\n  dbname=db", "u@h 5432/db")]
#[case("host='' user=u dbname=db", "u@localhost 5432/db")]
#[case("hostaddr=10.0.0.1 user=u", "u@10.0.0.1 5432/u")]
#[case("host=a,b port=1,2 user=u", "u@a 1/u")]
#[case("host=/tmp dbname=db", "postgres@/tmp 5432/db")]
#[case("dbname='a=b -c 🐘'", "postgres@localhost 5432/a=b -c 🐘")]
fn a_keyword_string_is_understood(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(&parsed(text)), expected);
}

#[rstest]
#[case("psql -h h -p 5433 -U u -d db", "u@h 5433/db")]
#[case("psql -hh -p5433 -Uu -ddb", "u@h 5433/db")]
#[case("psql --host=h --port=5433 --username=u --dbname=db", "u@h 5433/db")]
#[case("psql --host h --port 5433 --username u db", "u@h 5433/db")]
#[case("psql -h h db u", "u@h 5432/db")]
#[case("psql -h h -c 'select 1' -U u db", "u@h 5432/db")]
#[case("psql -X -At -h h -U u -W db", "u@h 5432/db")]
#[case("psql 'host=h user=u dbname=db'", "u@h 5432/db")]
#[case("psql \"postgresql://u:pw@h/db?sslmode=require\"", "u:pw@h 5432/db")]
#[case("psql postgres://u:pw@h/db", "u:pw@h 5432/db")]
#[case("psql -d postgres://u:pw@h/db -p 9", "u:pw@h 9/db")]
#[case("PGPASSWORD=pw psql -h h -U u db", "u:pw@h 5432/db")]
#[case("PGPASSWORD='p w' PGHOST=h /usr/bin/psql -U u db", "u:p w@h 5432/db")]
#[case("$ PGPASSWORD=\"p\\\"w\" psql -h h -U u db;", "u:p\"w@h 5432/db")]
#[case("psql -h h \\\n  -U u \\\n  db", "u@h 5432/db")]
#[case("sudo -u postgres psql shop", "postgres@/var/run/postgresql 5432/shop")]
#[case("sudo -u postgres psql -h h shop", "postgres@h 5432/shop")]
#[case("docker exec -it pg psql -U u db", "u@localhost 5432/db")]
#[case("pg_dump -Fc -t orders -h h -U u db > out", "u@h 5432/db")]
#[case("psql -h h -- db u", "u@h 5432/db")]
#[case("psql", "postgres@localhost 5432/postgres")]
#[case("DATABASE_URL=postgres://u:pw@h/db psql $DATABASE_URL", "u:pw@h 5432/db")]
#[case("psql.exe -h h -U u db", "u@h 5432/db")]
fn a_command_is_understood(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(&parsed(text)), expected);
}

#[rstest]
#[case("DATABASE_URL=postgres://u:pw@h/db", "u:pw@h 5432/db")]
#[case("export DATABASE_URL=\"postgres://u:pw@h/db\"", "u:pw@h 5432/db")]
#[case("export DATABASE_URL='postgres://u:pw@h/db';", "u:pw@h 5432/db")]
#[case("  DATABASE_URL: postgres://u:pw@h/db  ", "u:pw@h 5432/db")]
#[case("{\"url\": \"postgres://u:pw@h/db\"}", "u:pw@h 5432/db")]
#[case("APP=1\nDATABASE_URL=postgres://u:pw@h/db\nPORT=3000", "u:pw@h 5432/db")]
#[case("\"postgres://u:pw@h/db\";", "u:pw@h 5432/db")]
#[case("`postgres://u:pw@h/db`", "u:pw@h 5432/db")]
#[case("postgres://u:pw@h\n   /db", "u:pw@h 5432/db")]
#[case("PGHOST=h\nPGUSER=u\nPGPASSWORD=pw\nPGDATABASE=db", "u:pw@h 5432/db")]
#[case(
    "DB_HOST=h\nDB_PORT=5433\nDB_USER=u\nDB_PASSWORD=pw\nDB_NAME=db",
    "u:pw@h 5433/db"
)]
#[case("jdbc:postgresql://h:5433/db?user=u&password=pw&ssl=true", "u:pw@h 5433/db")]
#[case("jdbc:postgresql:db", "postgres@localhost 5432/db")]
#[case("Host=h;Port=5433;Username=u;Password=pw;Database=db", "u:pw@h 5433/db")]
#[case(
    "Server=h;User Id=u;Password='p;w';Database=db;SSL Mode=Require;",
    "u:p;w@h 5432/db"
)]
#[case("h:5433/db", "postgres@h 5433/db")]
#[case("u@h.example.com/db", "u@h.example.com 5432/db")]
#[case("localhost", "postgres@localhost 5432/postgres")]
#[case("/run/postgresql", "postgres@/run/postgresql 5432/postgres")]
fn what_else_people_paste_is_understood(#[case] text: &str, #[case] expected: &str) {
    assert_eq!(shown(&parsed(text)), expected);
}

#[rstest]
#[case("postgres://h/d?sslmode=disable", TlsMode::Disable)]
#[case("postgres://h/d?sslmode=allow", TlsMode::Prefer)]
#[case("postgres://h/d", TlsMode::Prefer)]
#[case("postgres://h/d?sslmode=require", TlsMode::Require)]
#[case("postgres://h/d?ssl=true", TlsMode::Require)]
#[case("postgres://h/d?sslmode=no-verify", TlsMode::Require)]
#[case("postgres://h/d?sslmode=verify-ca", TlsMode::VerifyCa)]
#[case("postgres://h/d?sslmode=verify-full", TlsMode::VerifyFull)]
#[case("postgres://h/d?sslmode=require&sslrootcert=/ca.pem", TlsMode::VerifyCa)]
#[case("postgres://h/d?sslrootcert=system", TlsMode::VerifyFull)]
#[case("Host=h;SSL Mode=VerifyFull;", TlsMode::VerifyFull)]
fn the_tls_mode_is_libpqs(#[case] text: &str, #[case] expected: TlsMode) {
    assert_eq!(parsed(text).connection.tls.mode, expected);
}

#[test]
fn certificate_files_are_kept() {
    let tls =
        parsed("postgres://h/d?sslmode=verify-full&sslrootcert=/a%20b/ca.pem&sslcert=/c.pem&sslkey=/k.pem")
            .connection
            .tls;
    assert_eq!(tls.ca_file.as_deref(), Some(Path::new("/a b/ca.pem")));
    assert_eq!(tls.certificate_file.as_deref(), Some(Path::new("/c.pem")));
    assert_eq!(tls.key_file.as_deref(), Some(Path::new("/k.pem")));
}

#[rstest]
#[case("postgres://a,b/d", "Several hosts")]
#[case("postgres://h/d?sslmode=allow", "allow is read as prefer")]
#[case("postgres://h/d?sslmode=require&sslrootcert=/ca.pem", "verify-ca")]
#[case("postgres://h/d?options=-c%20x%3D1", "options was left aside")]
#[case("postgres://h/d?channel_binding=require", "channel_binding")]
#[case("postgres://h/d?target_session_attrs=standby", "target_session_attrs")]
#[case("postgres://h/d?frobnicate=1", "One parameter that Howdah does not know")]
#[case("postgres://h/d?frobnicate=1&x=2", "2 parameters that Howdah does not know")]
#[case("postgres://h/d?pgbouncer=true", "pooler")]
#[case("postgres://h/d?schema=public", "choose schemas in the plan")]
#[case("postgres://u:p@ss@h/db", "percent-encoded")]
#[case("postgres://u:[YOUR-PASSWORD]@h/db", "placeholder")]
#[case("service=shop host=h", "service was left aside")]
#[case("sudo -u postgres psql shop", "sudo")]
fn what_is_left_aside_is_told(#[case] text: &str, #[case] part: &str) {
    let warnings = parsed(text).warnings;
    assert!(
        warnings.iter().any(|warning| warning.contains(part)),
        "{warnings:?}"
    );
}

#[rstest]
#[case("postgres://u:pw@h/db?connect_timeout=10&application_name=x&keepalives=1&sslnegotiation=postgres")]
#[case("host=h user=u dbname=db")]
#[case("psql -h h -U u db")]
#[case("export DATABASE_URL=\"postgres://u:pw@h/db\"")]
fn a_plain_connection_draws_no_warning(#[case] text: &str) {
    assert_eq!(parsed(text).warnings, Vec::<String>::new());
}

#[rstest]
#[case("", "nothing to connect to")]
#[case("   \n", "nothing to connect to")]
#[case("hello world", "not a connection")]
#[case("mysql://u:pw@h/db", "something else than PostgreSQL")]
#[case("jdbc:mysql://h/db", "something else than PostgreSQL")]
#[case("postgres://u@h:99999/db", "port")]
#[case("postgres://u@h:0/db", "port")]
#[case("host=h port=x", "port")]
#[case("postgres://u@[::1/db", "bracket")]
#[case("postgres://u@[::1]x/db", "only a port may follow")]
#[case("postgres://h/db?sslmode=sometimes", "sslmode")]
#[case("postgres://h/db?user", "has no value")]
#[case("postgres://h/%FF", "not UTF-8")]
#[case("postgres://h/%00", "zero byte")]
#[case("postgres://h/a%0Ab", "control character")]
#[case("host=h password='open", "not closed")]
#[case("host=h user", "followed by no =")]
#[case("host=h =u", "no name before it")]
#[case("psql -h 'h", "not closed")]
#[case("psql -U u -h", "has no value")]
#[case("psql $DATABASE_URL", "variable")]
#[case("host=@abstract user=u", "Abstract")]
#[case("frobnicate=1", "not a connection")]
fn an_error_says_what_is_wrong(#[case] text: &str, #[case] part: &str) {
    let failure = refused(text);
    assert_eq!(failure.code, FailureCode::InvalidConnection);
    assert!(failure.message.contains(part), "{}", failure.message);
    assert!(failure.hint.is_some_and(|hint| !hint.is_empty()));
}

/// Passwords at every place where they can stand, rightly or wrongly written.
#[rstest]
#[case("postgres://u:Kr0kodil@h/db?x=1")]
#[case("postgres://u:Kr0kodil@h:notaport/db")]
#[case("postgres://u:Kr0kodil@@h:1:2/db?sslmode=never")]
#[case("postgres://u:Kr0kodil/x@h/db?sslmode=never")]
#[case("postgres://u:Kr0kodil?x=Kr0kodil@h/db")]
#[case("postgres://h/db?password=Kr0kodil&Kr0kodil=1")]
#[case("postgres://h/db?user=u&password=Kr0kodil&Kr0kodil")]
#[case("postgres://u:%Kr0kodil@h/db")]
#[case("host=h password=Kr0kodil with Kr0kodil=spaces")]
#[case("host=h password=Kr0kodil with spaces")]
#[case("host=h password='Kr0kodil")]
#[case("host=h port=Kr0kodil")]
#[case("host=h sslmode=Kr0kodil")]
#[case("PGPASSWORD=Kr0kodil psql -h")]
#[case("PGPASSWORD='Kr0kodil psql -h h")]
#[case("PGPASSWORD=Kr0kodil psql -h h --Kr0kodil db")]
#[case("psql -h h -p Kr0kodil")]
#[case("DB_PASSWORD=Kr0kodil DB_PORT=Kr0kodil")]
#[case("Host=h;Password=Kr0kodil;Kr0kodil=1;Port=0;")]
#[case("Host=h;Password=\"Kr0kodil")]
#[case("mysql://u:Kr0kodil@h/db")]
#[case("Kr0kodil Kr0kodil")]
fn no_error_warning_or_debug_output_holds_the_password(#[case] text: &str) {
    match parse_connection(text, &Defaults::default()) {
        Ok(parsed) => {
            let said = format!("{:?} {:?}", parsed.warnings, parsed.password);
            assert!(!said.contains("Kr0kodil"), "{said}");
        }
        Err(error) => {
            let failure = error.to_failure();
            let said = format!("{error:?} {error} {failure:?}");
            assert!(!said.contains("Kr0kodil"), "{said}");
        }
    }
}

#[rstest]
#[case("postgres://u:Kr0kodil@h/db")]
#[case("postgres://h/db?user=u&password=Kr0kodil")]
#[case("host=h user=u password=Kr0kodil dbname=db")]
#[case("PGPASSWORD=Kr0kodil psql -h h -U u db")]
#[case("Host=h;Username=u;Password=Kr0kodil;Database=db")]
fn what_is_understood_shows_no_password_in_debug_output(#[case] text: &str) {
    let parsed = parsed(text);
    assert!(!format!("{parsed:?}").contains("Kr0kodil"), "{parsed:?}");
    assert_eq!(parsed.password.as_ref().map(Secret::expose), Some("Kr0kodil"));
}

/// Random texts made of what connection strings are made of. The seed is printed; HOWDAH_SEED repeats a run.
#[test]
fn no_text_makes_the_parser_panic() {
    const PARTS: &[&str] = &[
        "postgres://",
        "postgresql://",
        "jdbc:",
        "psql ",
        "PGPASSWORD=",
        "sudo -u ",
        "DATABASE_URL=",
        "export ",
        "host",
        "=",
        "port",
        "user",
        "password",
        "dbname",
        "sslmode",
        "require",
        ":",
        "/",
        "@",
        "?",
        "&",
        "%",
        "%4",
        "%40",
        "%C3",
        "[",
        "]",
        "::1",
        ",",
        ";",
        "'",
        "\"",
        "\\",
        " ",
        "\n",
        "\t",
        "-h",
        "-p",
        "-U",
        "-d",
        "--host",
        "--",
        "-",
        "$",
        "{",
        "}",
        "ä",
        "🐘",
        "5432",
        "99999",
        "Host",
        "Password",
        "\u{feff}",
        "\u{0}",
        "a",
        "#",
        "+",
        "<",
        ">",
        "`",
        "|",
    ];
    let seed = std::env::var("HOWDAH_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()) ^ 0x9e37_79b9_7f4a_7c15);
    println!("seed {seed}");
    let mut state: u64 = seed | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let mut understood = 0_u32;
    for _ in 0..50_000 {
        let length = 1 + next(14);
        let text: String = (0..length).map(|_| PARTS[next(PARTS.len())]).collect();
        if let Ok(parsed) = parse_connection(&text, &Defaults::default()) {
            understood += 1;
            assert!(parsed.connection.port > 0, "{text:?}");
            assert!(!parsed.connection.host.is_empty(), "{text:?}");
            assert!(!parsed.connection.role.is_empty(), "{text:?}");
            assert!(!parsed.connection.database.is_empty(), "{text:?}");
        }
    }
    assert!(
        understood > 500,
        "only {understood} texts were understood: the generator is off"
    );
}

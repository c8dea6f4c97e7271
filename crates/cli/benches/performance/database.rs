//! The database that is dumped: many small tables and some large ones; text, jsonb, numbers, timestamps.
//!
//! Rows are made here and streamed in with COPY, since SQL would take minutes for a gigabyte of words.

use std::fmt::Write as _;
use std::pin::pin;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::SinkExt as _;
use tokio_postgres::Client;

use crate::text::{Chance, Language};

const SEED: u64 = 20_261_122;
const SMALL_TABLES: usize = 200;
/// Rows are sent in pieces of about this size.
const PIECE: usize = 256 * 1024;

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mix {
    /// As in an application with content: 55 % text, 25 % jsonb, 20 % narrow rows of numbers and timestamps.
    Content,
    /// As in one that records: 35 % text, 25 % jsonb, 40 % narrow rows. The server then spends most of its time on turning
    /// numbers and timestamps into text, so that little is left to gain.
    Records,
}

impl Mix {
    /// Percent of articles, events, order items and measurements.
    fn percent(self) -> [u64; 4] {
        match self {
            Self::Content => [55, 25, 12, 8],
            Self::Records => [35, 25, 20, 20],
        }
    }
}

/// Makes the tables, with about `bytes` bytes of COPY data in all.
pub(crate) async fn fill(client: &Client, bytes: u64, mix: Mix) -> anyhow::Result<()> {
    let [articles, events, order_items, measurements] = mix.percent();
    let language = Language::new(SEED);
    let mut chance = Chance::new(SEED + 1);
    client
        .batch_execute(
            "CREATE TABLE articles (id bigint, author int, title text, body text, tags text[], published timestamptz);
             CREATE TABLE events (id bigint, at timestamptz, kind text, payload jsonb);
             CREATE TABLE order_items (id bigint, order_id bigint, product int, quantity smallint, price numeric(10,2),
                 discount numeric(4,3), shipped boolean, at timestamp, sku text);
             CREATE TABLE measurements (sensor int, at timestamptz, value double precision, quality smallint, note text);",
        )
        .await?;
    for number in 0..SMALL_TABLES {
        let name = format!("small_{number:03}");
        client
            .batch_execute(&format!(
                "CREATE TABLE {name} (id int PRIMARY KEY, code text, label text, amount numeric, active boolean, updated date)"
            ))
            .await?;
        let rows = 20 + chance.below(600);
        let limit = u64::try_from(rows)?;
        copy(client, &name, |out, row| {
            if row >= limit {
                return false;
            }
            let _ = write!(out, "{row}\t{}-{row}\t", language.word(&mut chance));
            language.sentences(out, 30, &mut chance);
            let _ = writeln!(
                out,
                "\t{}.{:02}\t{}\t20{:02}-{:02}-{:02}",
                chance.below(10_000),
                chance.below(100),
                if chance.one_in(3) { 'f' } else { 't' },
                10 + chance.below(16),
                1 + chance.below(12),
                1 + chance.below(28)
            );
            true
        })
        .await?;
    }
    let mut left = bytes * articles / 100;
    copy(client, "articles", |out, row| {
        let length = out.len();
        let _ = write!(out, "{row}\t{}\t", chance.below(5_000));
        language.sentences(out, 40, &mut chance);
        out.push('\t');
        let body = 200 + chance.below(2_600);
        language.sentences(out, body, &mut chance);
        let _ = write!(out, "\t{{{}", language.word(&mut chance));
        for _ in 0..chance.below(5) {
            let _ = write!(out, ",{}", language.word(&mut chance));
        }
        out.push_str("}\t");
        timestamp(out, row * 977, &mut chance);
        out.push_str("+00\n");
        take(&mut left, out.len() - length)
    })
    .await?;
    let mut left = bytes * events / 100;
    copy(client, "events", |out, row| {
        let length = out.len();
        event(out, row, &language, &mut chance);
        take(&mut left, out.len() - length)
    })
    .await?;
    let mut left = bytes * order_items / 100;
    copy(client, "order_items", |out, row| {
        let length = out.len();
        let product = chance.below(20_000);
        let _ = write!(
            out,
            "{row}\t{}\t{product}\t{}\t{}.{:02}\t0.{:03}\t{}\t",
            row / 3,
            1 + chance.below(9),
            1 + product * 37 % 400,
            product % 100,
            if chance.one_in(5) { 50 * chance.below(8) } else { 0 },
            if chance.one_in(20) { 'f' } else { 't' }
        );
        timestamp(out, row * 13, &mut chance);
        let _ = writeln!(out, "\tSKU-{product:06}-{}", product * 31 % 97);
        take(&mut left, out.len() - length)
    })
    .await?;
    let mut left = bytes * measurements / 100;
    let mut levels = [0_i64; 64];
    copy(client, "measurements", |out, row| {
        let length = out.len();
        // Sensors drift: each value is near the sensor's last one.
        let sensor = chance.below(levels.len());
        levels[sensor] += i64::try_from(chance.below(2001)).expect("BUG: below 2001") - 1000;
        let _ = write!(out, "{sensor}\t");
        timestamp(out, row / 8, &mut chance);
        let level = levels[sensor];
        let _ = write!(
            out,
            "+00\t{}.{:04}\t{}\t",
            20 + level / 10_000,
            level.unsigned_abs() % 10_000,
            chance.below(4)
        );
        if chance.one_in(30) {
            language.sentences(out, 30, &mut chance);
            out.push('\n');
        } else {
            out.push_str("\\N\n");
        }
        take(&mut left, out.len() - length)
    })
    .await?;
    // Each on its own: several statements in one message are one transaction, in which VACUUM refuses to run.
    client.batch_execute("VACUUM ANALYZE").await?;
    client.batch_execute("CHECKPOINT").await?;
    Ok(())
}

fn event(out: &mut String, row: u64, language: &Language, chance: &mut Chance) {
    const KINDS: [&str; 8] = [
        "page_view",
        "click",
        "sign_in",
        "purchase",
        "search",
        "error",
        "sign_out",
        "upload",
    ];
    let kind = KINDS[chance.below(3).max(chance.below(KINDS.len()))];
    let _ = write!(out, "{row}\t");
    timestamp(out, row * 2, chance);
    let _ = write!(
        out,
        "+00\t{kind}\t{{\"user\": {}, \"session\": \"{:016x}\", \"agent\": {{\"os\": \"{}\", \"version\": \"{}.{}\"}}, \"path\": \"/{}/{}\", \"ms\": {}, \"ok\": {}",
        chance.below(200_000),
        chance.next() & 0x0000_ffff_ffff_ffff,
        ["linux", "windows", "macos", "ios", "android"][chance.below(5)],
        90 + chance.below(30),
        chance.below(10),
        language.word(chance),
        language.word(chance),
        chance.below(3_000),
        if chance.one_in(25) { "false" } else { "true" }
    );
    if chance.one_in(3) {
        out.push_str(", \"query\": \"");
        language.sentences(out, 40, chance);
        out.push('"');
    }
    if kind == "purchase" {
        let _ = write!(out, ", \"items\": [");
        for item in 0..1 + chance.below(4) {
            let _ = write!(
                out,
                "{}{{\"sku\": \"SKU-{:06}\", \"n\": {}}}",
                if item > 0 { ", " } else { "" },
                chance.below(20_000),
                1 + chance.below(3)
            );
        }
        out.push(']');
    }
    out.push_str("}\n");
}

/// A moment that grows with the row, some minutes up and down; without a zone.
fn timestamp(out: &mut String, second: u64, chance: &mut Chance) {
    let second = second + chance.next() % 600;
    let (day, of_day) = (second / 86_400, second % 86_400);
    let _ = write!(
        out,
        "20{:02}-{:02}-{:02} {:02}:{:02}:{:02}.{:06}",
        20 + day / 336 % 8,
        1 + day / 28 % 12,
        1 + day % 28,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60,
        chance.below(1_000_000)
    );
}

/// Counts down; `false` when this was the last row.
fn take(left: &mut u64, bytes: usize) -> bool {
    *left = left.saturating_sub(bytes as u64);
    *left > 0
}

/// Streams rows into a table. `row` appends the row of that number and says whether more follow.
async fn copy(
    client: &Client,
    table: &str,
    mut row: impl FnMut(&mut String, u64) -> bool,
) -> anyhow::Result<()> {
    let sink = client
        .copy_in::<_, Bytes>(&format!("COPY {table} FROM STDIN"))
        .await
        .with_context(|| format!("filling {table}"))?;
    let mut sink = pin!(sink);
    let mut piece = String::with_capacity(2 * PIECE);
    let mut number = 0;
    loop {
        let more = row(&mut piece, number);
        number += 1;
        if piece.len() >= PIECE || !more {
            sink.send(Bytes::from(std::mem::take(&mut piece))).await?;
            piece.reserve(2 * PIECE);
        }
        if !more {
            break;
        }
    }
    sink.finish().await?;
    Ok(())
}

//! A table's name as SQL writes it: two identifiers with a dot between, each bare or in double quotes. No patterns.

use howdah_domain::TableName;

/// Reads `schema.table` by the rules of SQL: a bare identifier is folded to lower case, one in double quotes is kept as
/// it is, with `""` for a quote (PostgreSQL manual, "Identifiers and Key Words").
pub(crate) fn parse(text: &str) -> Result<TableName, String> {
    let (schema, rest) = identifier(text)?;
    let rest = rest
        .strip_prefix('.')
        .ok_or("a table is named with its schema: public.orders")?;
    let (name, rest) = identifier(rest)?;
    if rest.is_empty() {
        Ok(TableName { schema, name })
    } else {
        Err(format!(
            "what is “{rest}”? Quote a name that has other characters: \"My schema\".\"My table\""
        ))
    }
}

/// The first identifier of a text, and what follows it.
fn identifier(text: &str) -> Result<(String, &str), String> {
    let (name, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted_identifier(quoted)?,
        None => {
            let end = text
                .find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '$'))
                .unwrap_or(text.len());
            let (bare, rest) = text.split_at(end);
            if bare.starts_with(|c: char| c.is_ascii_digit() || c == '$') {
                return Err(format!("“{bare}” needs double quotes"));
            }
            // The server folds ASCII letters only, in every multi-byte encoding.
            (bare.to_ascii_lowercase(), rest)
        }
    };
    if name.is_empty() {
        return Err("a name is missing".to_owned());
    }
    Ok((name, rest))
}

fn quoted_identifier(text: &str) -> Result<(String, &str), String> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let at = rest.find('"').ok_or("a double quote is not closed")?;
        name.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Ok((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("public.orders", "public", "orders")]
    #[case("Shop.Orders_2", "shop", "orders_2")]
    #[case(r#""My schema"."a.b""#, "My schema", "a.b")]
    #[case(r#"public."say ""hi""""#, "public", r#"say "hi""#)]
    #[case(r#""--x"."=🐘 *""#, "--x", "=🐘 *")]
    #[case("čáp.Č", "čáp", "Č")]
    fn a_name_is_read_as_sql_reads_it(#[case] text: &str, #[case] schema: &str, #[case] name: &str) {
        let parsed = parse(text).unwrap();
        assert_eq!((parsed.schema.as_str(), parsed.name.as_str()), (schema, name));
    }

    #[rstest]
    #[case("orders")]
    #[case("")]
    #[case(".orders")]
    #[case("public.")]
    #[case(r#"public."orders"#)]
    #[case("public.or*")]
    #[case("a.b.c")]
    #[case("public.1st")]
    #[case("my schema.orders")]
    fn what_is_no_table_name_is_refused(#[case] text: &str) {
        assert!(parse(text).is_err(), "{text}");
    }
}

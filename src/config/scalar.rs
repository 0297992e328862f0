//! Resolves unquoted scalars by the core schema of YAML 1.2.
//!
//! One rule comes from Helm instead: a number with a leading zero is octal (`defaultMode: 0644`), as chart authors
//! expect.

use super::tree::Content;

/// Returns the content of a scalar without quotes and without a tag.
pub(super) fn resolve(text: &str) -> Content {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Content::Null,
        "true" | "True" | "TRUE" => Content::Bool(true),
        "false" | "False" | "FALSE" => Content::Bool(false),
        _ => number(text).unwrap_or_else(|| Content::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Content> {
    let first = text.bytes().next()?;
    if !(first.is_ascii_digit() || b"+-.".contains(&first)) {
        return None;
    }
    integer(text).map(Content::Integer).or_else(|| float(text).map(Content::Float))
}

fn integer(text: &str) -> Option<i64> {
    if let Some(octal) = text.strip_prefix("0o") {
        return unsigned(octal, 8);
    }
    if let Some(hexadecimal) = text.strip_prefix("0x") {
        return unsigned(hexadecimal, 16);
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.len() > 1 && digits.starts_with('0') {
        return unsigned(text, 8);
    }
    text.parse().ok()
}

fn unsigned(digits: &str, radix: u32) -> Option<i64> {
    if digits.starts_with(['+', '-']) { None } else { i64::from_str_radix(digits, radix).ok() }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`; what JSON cannot represent (`.inf`, `.nan`) stays a string.
fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digit_first = unsigned.trim_start_matches('.').starts_with(|first: char| first.is_ascii_digit());
    let allowed = unsigned.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    if !digit_first || !allowed {
        return None;
    }
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_the_core_schema() {
        let text = |text: &str| Content::Text(text.to_owned());
        for (written, content) in [
            ("", Content::Null),
            ("~", Content::Null),
            ("true", Content::Bool(true)),
            ("yes", text("yes")),
            ("12", Content::Integer(12)),
            ("-3", Content::Integer(-3)),
            ("0x1F", Content::Integer(31)),
            ("0o17", Content::Integer(15)),
            ("0644", Content::Integer(420)),
            ("1.10", Content::Float(1.1)),
            ("1e3", Content::Float(1000.0)),
            (".5", Content::Float(0.5)),
            ("1.2.3", text("1.2.3")),
            ("10m", text("10m")),
            ("-", text("-")),
            (".inf", text(".inf")),
            ("1e999", text("1e999")),
            ("0x-1", text("0x-1")),
        ] {
            assert_eq!(resolve(written), content, "{written}");
        }
    }
}

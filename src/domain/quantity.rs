//! Kubernetes quantities: `128Mi`, `1.5G`, `100m`, `2e3`.

/// The number of decimal places that are kept: Kubernetes has nano precision.
const FRACTION_DIGITS: usize = 9;
const NANOS: u128 = 1_000_000_000;
const BINARY: [&str; 6] = ["Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
const DECIMAL: [&str; 6] = ["k", "M", "G", "T", "P", "E"];

/// A string that is not a valid Kubernetes quantity, or is negative or too large.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a valid quantity: expected a value such as 128Mi, 1.5G, 100m or 2")]
pub struct InvalidQuantity(pub String);

/// Returns an amount of memory in bytes, rounded up.
///
/// # Errors
/// Fails if `text` is not a valid quantity.
pub fn parse_memory_bytes(text: &str) -> Result<u64, InvalidQuantity> {
    rounded_up(text, 1)
}

/// Returns an amount of CPU in thousandths of a core, rounded up.
///
/// # Errors
/// Fails if `text` is not a valid quantity.
pub fn parse_cpu_millis(text: &str) -> Result<u64, InvalidQuantity> {
    rounded_up(text, 1000)
}

/// Returns the quantity with the unit of Kubernetes for one that is written in another way: `64M` for `64MB`, `2Gi` for
/// `2 GiB`.
pub fn with_known_unit(text: &str) -> Option<String> {
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let known = BINARY.iter().chain(&DECIMAL).find(|known| known.eq_ignore_ascii_case(unit))?;
    let meant = format!("{number}{known}");
    parse_memory_bytes(&meant).is_ok().then_some(meant)
}

/// Returns `text` in units of `1 / parts`, rounded up.
fn rounded_up(text: &str, parts: u128) -> Result<u64, InvalidQuantity> {
    let wrong = || InvalidQuantity(text.to_owned());
    let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let nanos = nanos(number).ok_or_else(wrong)?;
    let (times, over) = factor(suffix).ok_or_else(wrong)?;
    let scaled = nanos.checked_mul(times).and_then(|value| value.checked_mul(parts)).ok_or_else(wrong)?;
    u64::try_from(scaled.div_ceil(NANOS * over)).map_err(|_| wrong())
}

/// A decimal number times 10^9; digits after the ninth decimal place are dropped.
fn nanos(number: &str) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(FRACTION_DIGITS).collect();
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    whole.checked_mul(NANOS)?.checked_add(kept.parse().ok()?)
}

/// The multiplier and the divisor of a suffix.
fn factor(suffix: &str) -> Option<(u128, u128)> {
    const SMALL: [(&str, u128); 3] = [("m", 1000), ("u", 1_000_000), ("n", NANOS)];
    let power = |names: &[&str], base: u128| {
        let index = names.iter().position(|name| *name == suffix)?;
        Some((base.pow(u32::try_from(index + 1).ok()?), 1))
    };
    if suffix.is_empty() {
        return Some((1, 1));
    }
    power(&BINARY, 1024)
        .or_else(|| power(&DECIMAL, 1000))
        .or_else(|| SMALL.iter().find(|(name, _)| *name == suffix).map(|(_, over)| (1, *over)))
        .or_else(|| exponent(suffix))
}

/// `e3`, `E3`, `e+3` or `e-3`: a power of ten.
fn exponent(suffix: &str) -> Option<(u128, u128)> {
    let power: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    let value = 10u128.checked_pow(power.unsigned_abs()).filter(|_| power.unsigned_abs() <= 18)?;
    Some(if power < 0 { (1, value) } else { (value, 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_of_units_are_understood() {
        for (text, meant) in [
            ("64MB", Some("64M")),
            ("2 GiB", Some("2Gi")),
            ("128mi", Some("128Mi")),
            ("1.5gb", Some("1.5G")),
            ("512KB", Some("512k")),
            ("1G1", None),
            ("much", None),
            ("MB", None),
        ] {
            assert_eq!(with_known_unit(text).as_deref(), meant, "{text}");
        }
    }

    #[test]
    fn reads_memory() {
        for (text, bytes) in [
            ("128Mi", 134_217_728),
            ("1Gi", 1_073_741_824),
            ("1.5G", 1_500_000_000),
            ("1.5Gi", 1_610_612_736),
            ("512", 512),
            ("1e3", 1000),
            ("2E2", 200),
            ("1E", 1_000_000_000_000_000_000),
            ("100m", 1),
            (".5k", 500),
            ("0", 0),
        ] {
            assert_eq!(parse_memory_bytes(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn reads_cpu() {
        for (text, millis) in [("100m", 100), ("2", 2000), ("0.5", 500), ("1.0001", 1001), ("250000u", 250)] {
            assert_eq!(parse_cpu_millis(text), Ok(millis), "{text}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "Mi", ".", "1.2.3", "-1", "1 Gi", "1KB", "1ki", "e3", "1e99", "99999999999999999999999Ei"] {
            assert!(parse_memory_bytes(text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[0-9.eEkKMGTPimun+-]{0,30}") {
            let _ = (parse_memory_bytes(&text), parse_cpu_millis(&text));
        }
    }
}

//! Sizes as people write them, in workflows, configuration files and options alike.

/// `512m`, `2g`, `64k`, `1GiB`, `1048576`, in bytes; every unit is binary, as Docker has it.
pub fn size_bytes(text: &str) -> Option<u64> {
    let text = text.trim();
    let (number, unit) =
        text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(size_bytes("512m"), Some(512 << 20));
        assert_eq!(size_bytes("1 GiB"), Some(1 << 30));
        assert_eq!(size_bytes("7"), Some(7));
        for wrong in ["", "m", "1x", "-1", "1.5g", "99999999999999t"] {
            assert_eq!(size_bytes(wrong), None, "{wrong}");
        }
    }
}

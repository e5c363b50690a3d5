//! Whether a value that stands in a file looks like a secret.

/// Beginnings of tokens that well-known services give out, and how long what follows is at least.
const TOKENS: &[(&str, usize)] = &[
    ("AIza", 30),
    ("AKIA", 16),
    ("ASIA", 16),
    ("dckr_pat_", 16),
    ("ghp_", 16),
    ("gho_", 16),
    ("ghs_", 16),
    ("ghu_", 16),
    ("github_pat_", 16),
    ("glpat-", 16),
    ("glrt-", 16),
    ("hf_", 20),
    ("npm_", 20),
    ("ops_", 20),
    ("pypi-", 20),
    ("sk-ant-", 16),
    ("sk_live_", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
];

/// Ends of names whose values are secrets, if they look random too.
const NAMES: &[&str] = &["API_KEY", "PASSWORD", "PRIVATE_KEY", "SECRET", "SECRET_KEY", "TOKEN"];

/// A token of a known service, a private key, or something random under a telling name.
pub(crate) fn looks_secret(name: &str, value: &str) -> bool {
    let is_token = |(start, least): &(&str, usize)| {
        value.strip_prefix(start).is_some_and(|rest| rest.len() >= *least && is_one_word(rest))
    };
    let is_key = value.starts_with("-----BEGIN ") && value.contains("PRIVATE KEY-");
    let is_named = NAMES.iter().any(|end| name.ends_with(end));
    is_key || TOKENS.iter().any(is_token) || (is_named && is_random(value))
}

/// What a token is made of; names of settings rarely hold digits.
fn is_one_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        && text.bytes().any(|b| b.is_ascii_digit())
}

/// Long, of letters and digits that take turns often: no path, no sentence, no reference, no name
/// with a number at its end.
fn is_random(value: &str) -> bool {
    let is_base64 = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+=.".contains(&b));
    let kinds: Vec<bool> = value.bytes().map(|b| b.is_ascii_digit()).collect();
    let turns = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    value.len() >= 20 && is_base64 && turns >= 6
}

#[cfg(test)]
mod tests {
    use super::looks_secret;

    #[test]
    fn tokens_are_told_from_other_values() {
        let letters = "x1Yz".repeat(10);
        for token in ["ghp_", "npm_", "glpat-", "xoxb-", "AKIA"] {
            assert!(looks_secret("A", &format!("{token}{letters}")), "{token}");
        }
        assert!(looks_secret("A", "-----BEGIN RSA PRIVATE KEY-----\nMII"));
        assert!(looks_secret("DEPLOY_TOKEN", "3f9a0c77be52d81c4e6b"));
        for (name, value) in [
            ("A", "npm_config_registry_mirror"),
            ("A", "-----BEGIN CERTIFICATE-----\nMII"),
            ("CHANNEL", "ops_team_of_the_first_floor"),
            ("POSTGRES_PASSWORD", "secret"),
            ("TOKEN", "$OTHER_TOKEN_OF_2024_01_02_03"),
            ("TOKEN", "the-token-of-production-2024"),
            ("IMAGE_SHA", "3f9a0c77be52d81c4e6b3f9a0c77be52d81c4e6b"),
            ("SECRET", "config/secrets/v1/a2/b3/c4.json"),
        ] {
            assert!(!looks_secret(name, value), "{name}={value}");
        }
    }
}

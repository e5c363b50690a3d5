//! Which requests a rule means.

/// Whether the target of a request is like the pattern; see [`super::Proxy::disturb`].
pub(super) fn matches(pattern: &str, target: &str) -> bool {
    let path = if pattern.contains('?') { target } else { target.split('?').next().unwrap_or("") };
    like(pattern.as_bytes(), path.as_bytes())
}

fn like(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|start| like(rest, &text[start..])),
        Some((first, rest)) => {
            text.split_first().is_some_and(|(t, text)| t == first && like(rest, text))
        }
    }
}

/// A request's target without the version of the API in front.
pub(super) fn without_version(target: &str) -> &str {
    let rest =
        target.strip_prefix("/v").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let path = rest.and_then(|rest| rest.find('/').map(|end| &rest[end..]));
    // A registry's own prefix is no version of the engine's API.
    path.filter(|_| target.starts_with("/v1.")).unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_query_counts_only_if_asked_for() {
        assert!(matches("/containers/*/start", "/containers/4f/start?x=1"));
        assert!(!matches("/containers/*/start", "/containers/4f/stop"));
        assert!(matches(
            "/containers/create?*name=loom-svc*",
            "/containers/create?a=b&name=loom-svc-1"
        ));
        assert!(!matches(
            "/containers/create?*name=loom-svc*",
            "/containers/create?name=loom-job-1"
        ));
        assert!(!matches("/volumes", "/volumes/create"));
    }

    #[test]
    fn the_version_of_the_api_does_not_count() {
        assert_eq!(without_version("/v1.41/version"), "/version");
        assert_eq!(without_version("/version"), "/version");
        assert_eq!(without_version("/v2/library/x"), "/v2/library/x");
    }
}

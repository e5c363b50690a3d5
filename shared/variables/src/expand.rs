//! References replaced by values, at job start.

use std::collections::{BTreeMap, HashMap};

use libloom_contract::graph::Variable;
use libloom_contract::variables;

/// Predefined variables with `own` above them, every reference in `own` expanded: against `own`,
/// then what is predefined, then `outer` (the environment around the job). Within its own value a
/// name means the layer below; unknown names stay as written.
pub fn expanded(
    own: &[Variable],
    predefined: &BTreeMap<String, String>,
    outer: &dyn Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let names: HashMap<&str, &str> =
        own.iter().map(|variable| (&*variable.name, &*variable.value)).collect();
    let values = Values { own: names, predefined, outer };
    let mut all = predefined.clone();
    for variable in own {
        let value = values.of(&variable.name, &mut Vec::new());
        all.insert(variable.name.clone(), value.unwrap_or_default());
    }
    all
}

struct Values<'a> {
    own: HashMap<&'a str, &'a str>,
    predefined: &'a BTreeMap<String, String>,
    outer: &'a dyn Fn(&str) -> Option<String>,
}

impl Values<'_> {
    /// Longer circles than that of one name with itself were refused before; `open` only ever ends
    /// those.
    fn of(&self, name: &str, open: &mut Vec<String>) -> Option<String> {
        match self.own.get(name) {
            Some(value) if !open.iter().any(|outer| outer == name) => {
                open.push(name.to_owned());
                let text = variables::expand(value, |inner| self.of(inner, open));
                open.pop();
                Some(text)
            }
            _ => self.predefined.get(name).cloned().or_else(|| (self.outer)(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_expand_in_any_order_and_own_name_means_the_layer_below() {
        let own = [
            ("CACHE", "$GOPATH/cache"),
            ("GOPATH", "$LOOM_PROJECT_DIR/.go"),
            ("LITERAL", "$$GOPATH $UNKNOWN ${HOST}"),
            ("PATH", "/opt/bin:$PATH"),
        ]
        .map(|(name, value)| Variable {
            name: name.into(),
            value: value.into(),
            origin: None,
        });
        let predefined = BTreeMap::from([("LOOM_PROJECT_DIR".to_owned(), "/w".to_owned())]);
        let outer = |name: &str| match name {
            "PATH" => Some("/bin".to_owned()),
            "HOST" => Some("$GOPATH".to_owned()),
            _ => None,
        };
        let all = expanded(&own, &predefined, &outer);
        assert_eq!(all["CACHE"], "/w/.go/cache");
        assert_eq!(all["PATH"], "/opt/bin:/bin");
        assert_eq!(all["LITERAL"], "$GOPATH $UNKNOWN $GOPATH");
        assert_eq!(all["LOOM_PROJECT_DIR"], "/w");
    }
}

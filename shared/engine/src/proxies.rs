//! Proxies of `config.json` for what runs in containers, as the docker CLI hands them on.

use crate::{
    Address,
    config::{DockerConfig, Proxy},
};

impl DockerConfig {
    /// Variables for containers and build arguments of the engine at `address`, each in capitals
    /// and in small letters; what a user sets himself wins over them.
    ///
    /// An entry for the engine's own address counts instead of `default`
    /// (`cli/config/configfile`, `ParseProxyConfig`).
    pub fn proxies(&self, address: &Address) -> Vec<(String, String)> {
        let own = self.proxies.get(&address.to_string());
        let Some(proxy) = own.or_else(|| self.proxies.get("default")) else { return Vec::new() };
        let Proxy { http_proxy, https_proxy, ftp_proxy, all_proxy, no_proxy } = proxy;
        let all = [
            ("HTTP_PROXY", http_proxy),
            ("HTTPS_PROXY", https_proxy),
            ("FTP_PROXY", ftp_proxy),
            ("ALL_PROXY", all_proxy),
            ("NO_PROXY", no_proxy),
        ];
        let set = all.into_iter().filter(|(_, value)| !value.is_empty());
        let both = set.flat_map(|(name, value)| {
            [name.to_owned(), name.to_lowercase()].map(|name| (name, value.clone()))
        });
        both.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_of_the_engine_counts_instead_of_the_default() {
        let config: DockerConfig = serde_json::from_str(
            r#"{"proxies": {
                "default": {"httpProxy": "http://p:1", "noProxy": "a,b"},
                "tcp://far:2375": {"httpsProxy": "http://q:2"}
            }}"#,
        )
        .unwrap();
        let of = |address: &str| {
            let proxies = config.proxies(&address.parse().unwrap());
            proxies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
        };
        let default =
            ["HTTP_PROXY=http://p:1", "http_proxy=http://p:1", "NO_PROXY=a,b", "no_proxy=a,b"];
        assert_eq!(of("unix:///x"), default);
        assert_eq!(of("tcp://far:2375"), ["HTTPS_PROXY=http://q:2", "https_proxy=http://q:2"]);
    }

    #[test]
    fn no_configuration_means_no_variables() {
        assert!(DockerConfig::default().proxies(&"unix:///x".parse().unwrap()).is_empty());
    }
}

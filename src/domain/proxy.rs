//! The forward proxy of this machine, as variables describe it.

/// The values of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// The proxy for `http://` URLs.
    pub http: Option<String>,
    /// The proxy for `https://` URLs.
    pub https: Option<String>,
    /// Hosts, domains and networks that are reached without a proxy, comma-separated.
    pub no: Option<String>,
}

/// Hosts that are never reached through a proxy; Go programs such as Helm and kubectl follow the same rule.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1";

impl Proxies {
    /// Returns the list of what is reached without a proxy, with this machine and `further` hosts.
    pub fn direct<'a>(&'a self, further: impl IntoIterator<Item = &'a str>) -> String {
        let own = self.no.as_deref().into_iter().flat_map(|list| list.split(','));
        let listed = own.map(str::trim).filter(|host| !host.is_empty());
        listed.chain([THIS_MACHINE]).chain(further).collect::<Vec<&str>>().join(",")
    }

    /// Returns the variables for a program that reaches `direct` without a proxy, in both cases of their names; none
    /// if there is no proxy.
    pub fn variables<'a>(&'a self, direct: impl IntoIterator<Item = &'a str>) -> Vec<(&'static str, String)> {
        if self.http.is_none() && self.https.is_none() {
            return Vec::new();
        }
        let direct = Some(self.direct(direct));
        let named = [
            (["HTTP_PROXY", "http_proxy"], &self.http),
            (["HTTPS_PROXY", "https_proxy"], &self.https),
            (["NO_PROXY", "no_proxy"], &direct),
        ];
        let both = |(names, value): ([&'static str; 2], &Option<String>)| {
            let value = value.clone();
            names.into_iter().filter_map(move |name| Some((name, value.clone()?)))
        };
        named.into_iter().flat_map(both).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_of_this_machine_are_reached_directly() {
        let proxies = Proxies {
            https: Some("http://proxy:3128".to_owned()),
            no: Some(".corp, ".to_owned()),
            ..Proxies::default()
        };
        let direct = ".corp,localhost,127.0.0.0/8,::1,cmdr-registry".to_owned();
        let proxy = "http://proxy:3128".to_owned();
        let expected = [
            ("HTTPS_PROXY", proxy.clone()),
            ("https_proxy", proxy),
            ("NO_PROXY", direct.clone()),
            ("no_proxy", direct),
        ];
        assert_eq!(proxies.variables(["cmdr-registry"]), expected);
        let without = Proxies { no: Some(".corp".to_owned()), ..Proxies::default() };
        assert_eq!(without.variables(["cmdr-registry"]), []);
    }
}

//! The authorization that is sent to a registry: a user name and password, or a token that they are exchanged for.

use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use crate::{adapters::credentials::RegistryCredential, domain::secret::Secret};

/// The client ID in token requests; some services require one.
const CLIENT: &str = "cmdr";

/// The authorization of a request.
#[derive(Debug, Clone)]
pub(super) enum Authorization {
    Basic { username: String, password: Secret },
    Bearer { token: Secret, of_login: bool },
}

/// The response of a token service. Without `Debug`, because it contains secrets.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Authorization {
    /// Returns basic authentication; `None` for an identity token, which only a token service accepts.
    pub(super) fn basic(login: &RegistryCredential) -> Option<Self> {
        let RegistryCredential { username, password, .. } = login;
        (!login.is_identity_token()).then(|| Self::Basic { username: username.clone(), password: password.clone() })
    }

    /// Returns whether credentials are behind it: anonymous clients also receive a token, for public images.
    pub(super) fn is_of_login(&self) -> bool {
        matches!(self, Self::Basic { .. } | Self::Bearer { of_login: true, .. })
    }

    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { username, password } => request.basic_auth(username, Some(password.expose())),
            Self::Bearer { token, .. } => request.bearer_auth(token.expose()),
        }
    }

    /// Builds the request for a token: anonymous for public images, with credentials in the header, or with an identity
    /// token in the body of a POST, as in OAuth.
    pub(super) fn token_request(
        http: &reqwest::Client,
        realm: &Url,
        service: Option<&str>,
        scope: &str,
        login: Option<&RegistryCredential>,
    ) -> RequestBuilder {
        let service = service.map(|service| ("service", service));
        if let Some(login) = login.filter(|login| login.is_identity_token()) {
            let secret = login.password.expose();
            let grant = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", secret)];
            let form: Vec<_> = grant.into_iter().chain([("scope", scope)]).chain(service).collect();
            return http.post(realm.clone()).form(&form);
        }
        let mut url = realm.clone();
        url.query_pairs_mut().append_pair("scope", scope).extend_pairs(service);
        let request = http.get(url);
        match login.and_then(Self::basic) {
            Some(login) => login.apply(request),
            None => request,
        }
    }

    /// Reads the token from a response. `of_login` is whether credentials were sent.
    pub(super) fn read_token(body: &[u8], of_login: bool) -> Option<Self> {
        let answer: Token = serde_json::from_slice(body).ok()?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        (!token.is_empty()).then(|| Self::Bearer { token: Secret::new(token), of_login })
    }
}

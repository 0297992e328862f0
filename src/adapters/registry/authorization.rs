//! What is sent to a registry that asks who is there: a login, or a token that the login is changed into.

use reqwest::{RequestBuilder, Url};
use serde::Deserialize;

use crate::{adapters::credentials::RegistryCredential, domain::secret::Secret};

/// The name under which cmdr asks for tokens; some services want one.
const CLIENT: &str = "cmdr";

/// What goes along with a request.
#[derive(Debug, Clone)]
pub(super) enum Authorization {
    Basic { username: String, password: Secret },
    Bearer { token: Secret, of_login: bool },
}

/// What a token service answers. Without `Debug`: it holds secrets.
#[derive(Deserialize)]
struct Token {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

impl Authorization {
    /// The login itself; `None` for an identity token, which is only good for a token service.
    pub(super) fn basic(login: &RegistryCredential) -> Option<Self> {
        let RegistryCredential { username, password, .. } = login;
        (!login.is_identity_token()).then(|| Self::Basic { username: username.clone(), password: password.clone() })
    }

    /// Whether a login stands behind it: a token is given to strangers too, for what is public.
    pub(super) fn is_of_login(&self) -> bool {
        matches!(self, Self::Basic { .. } | Self::Bearer { of_login: true, .. })
    }

    pub(super) fn apply(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Basic { username, password } => request.basic_auth(username, Some(password.expose())),
            Self::Bearer { token, .. } => request.bearer_auth(token.expose()),
        }
    }

    /// The request for a token: without a login for what is public, with it in the header, or, where it is an identity
    /// token, as OAuth has it in the body of a POST.
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

    /// The token in an answer to a request with a login or without one.
    pub(super) fn read_token(body: &[u8], of_login: bool) -> Option<Self> {
        let answer: Token = serde_json::from_slice(body).ok()?;
        let token = if answer.token.is_empty() { answer.access_token } else { answer.token };
        (!token.is_empty()).then(|| Self::Bearer { token: Secret::new(token), of_login })
    }
}

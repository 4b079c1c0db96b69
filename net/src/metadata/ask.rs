//! The questions that lead to a machine's settings, one after the other.
//!
//! Knows what each answer means. Must not know streams. A server that has nothing for a machine says 404; anything else that
//! is not 200 is an error, so that a service in trouble is not taken for one without settings.

use super::answer::Answer;
use super::fetch::{FetchError, Request};
use super::place::Place;
use super::services::{Service, Token};
use super::url::Url;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use storage::cloud::{Given, yaml};

/// For how many seconds a token is wanted.
const TOKEN_SECONDS: &str = "60";
/// A longer token is refused.
const TOKEN_LEN_MAX: usize = 1024;
/// What a service says that has no tokens, or wants none.
const NO_TOKENS: [u16; 5] = [400, 403, 404, 405, 501];

/// Asks one server.
#[allow(async_fn_in_trait, reason = "everything of ours runs on one core, so no future needs to be Send")]
pub trait Fetch {
    /// Sends a request, and takes its answer.
    async fn fetch(&mut self, request: Request) -> Result<Answer, FetchError>;
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// No answer.
    #[error("{path}: {error}")]
    Fetch {
        /// What was asked for.
        path: String,
        /// Why there is none.
        error: FetchError,
    },
    /// An answer that is neither yes nor no.
    #[error("{path}: the server answers with status {status}")]
    Status {
        /// What was asked for.
        path: String,
        /// What it said.
        status: u16,
    },
    /// A token that no header can hold.
    #[error("{0}: the token is not one")]
    Token(&'static str),
}

/// Asks for settings; `None` where the server has none for this machine.
///
/// # Errors
/// See [`AskError`].
pub async fn ask(place: &Place, server: &mut impl Fetch) -> Result<Option<Given>, AskError> {
    let found = match place {
        Place::Seed { url, instance } => of_seed(url, instance.as_deref(), server).await?,
        Place::Service(service) => of_service(service, server).await?,
    };
    Ok(found.map(|(instance, user_data)| Given { source: place.source(), instance, user_data }))
}

/// What the machine is called, if that is said, and what was written for it.
type Found = Option<(Option<String>, Vec<u8>)>;

/// cloud-init, "NoCloud": what the serial number says comes before what `meta-data` says.
async fn of_seed(url: &Url, instance: Option<&str>, server: &mut impl Fetch) -> Result<Found, AskError> {
    let file = |name: &str| Request::get(format!("{}{name}", url.folder));
    let Some(user_data) = get(server, file("user-data")).await? else { return Ok(None) };
    let meta_data = get(server, file("meta-data")).await?.unwrap_or_default();
    let instance = instance.map(ToString::to_string).or_else(|| yaml::text_at(&meta_data, "instance-id"));
    Ok(Some((instance, user_data)))
}

async fn of_service(service: &Service, server: &mut impl Fetch) -> Result<Found, AskError> {
    let mut headers: Vec<_> =
        service.header.iter().map(|(name, value)| (*name, (*value).to_string())).collect();
    if let Some(token) = &service.token
        && let Some(value) = token_of(token, server).await?
    {
        headers.push((token.header, value));
    }
    let path = |path: &str| Request { headers: headers.clone(), ..Request::get(path.to_string()) };
    let Some(user_data) = get(server, path(service.user_data)).await? else { return Ok(None) };
    let instance = get(server, path(service.instance)).await?;
    Ok(Some((instance.and_then(|name| String::from_utf8(name).ok()), user_data)))
}

/// A token; `None` where the service has none, and is asked without.
async fn token_of(token: &Token, server: &mut impl Fetch) -> Result<Option<String>, AskError> {
    let headers = alloc::vec![(token.lifetime, TOKEN_SECONDS.to_string())];
    let request = Request { method: "PUT", path: token.path.to_string(), headers };
    let answer = fetch(server, request).await?;
    if NO_TOKENS.contains(&answer.status) {
        return Ok(None);
    }
    if answer.status != 200 {
        return Err(AskError::Status { path: token.path.to_string(), status: answer.status });
    }
    let text = core::str::from_utf8(answer.body.trim_ascii()).unwrap_or_default();
    let is_plain =
        (1..=TOKEN_LEN_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if is_plain { Ok(Some(text.to_string())) } else { Err(AskError::Token(token.path)) }
}

/// What stands at a path; `None` where nothing does.
async fn get(server: &mut impl Fetch, request: Request) -> Result<Option<Vec<u8>>, AskError> {
    let path = request.path.clone();
    let answer = fetch(server, request).await?;
    match answer.status {
        200 => Ok(Some(answer.body)),
        404 => Ok(None),
        status => Err(AskError::Status { path, status }),
    }
}

async fn fetch(server: &mut impl Fetch, request: Request) -> Result<Answer, AskError> {
    let path = request.path.clone();
    server.fetch(request).await.map_err(|error| AskError::Fetch { path, error })
}

#[cfg(test)]
#[path = "ask_tests.rs"]
mod tests;

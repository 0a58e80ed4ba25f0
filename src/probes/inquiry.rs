//! A conversation with one API server: questions beyond health, one after the other over one connection, always with the
//! cluster's own credentials, under the caps of the prober it belongs to. The connection ends with it.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use fleetbeat_actors::{
    health::{Cause, Endpoint, NotRun},
    ports::Poke,
    target::Target,
};
use http_body_util::Full;
use hyper::{
    Method, Request, Uri,
    header::{self, HeaderValue},
};
use secrecy::zeroize::Zeroizing;
use tokio::sync::OwnedSemaphorePermit;

use super::{
    Shared,
    deadline::{Deadline, permit},
    line::{Line, Round},
    site::Address,
    trouble::Trouble,
    wire::{Answer, Wire},
};
use crate::{
    credentials::{Credential, Lookup},
    discovery::{Conversation, Question, Reply, Silence},
};

/// What an API server is asked to answer in.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Names and labels only, where the server can; everything else it sends is read over.
const METADATA: HeaderValue =
    HeaderValue::from_static("application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json");

/// An open conversation.
pub(super) struct HttpConversation {
    shared: Arc<Shared>,
    target: Arc<Target>,
    credentials: Lookup,
    line: Line,
    poke: Poke,
    _permit: OwnedSemaphorePermit,
}

impl HttpConversation {
    /// Waits for a permit; nothing is sent before the first question.
    pub(super) async fn open(
        shared: Arc<Shared>,
        target: Arc<Target>,
        credential: Arc<Credential>,
    ) -> Result<Box<dyn Conversation>, Silence> {
        let permit = permit(&shared.in_flight, shared.options.permit_wait, NotRun::NoPermit).await;
        let permit = permit.map_err(Silence::NotRun)?;
        let claim = shared.seats.claim(target.cadence.period);
        let line = Line::new(Endpoint::ApiServer, Address::of_api_server(&target), claim);
        let credentials = Lookup::Some(credential);
        Ok(Box::new(Self { shared, target, credentials, line, poke: Arc::new(|| {}), _permit: permit }))
    }

    async fn answer(&mut self, question: &Question) -> Result<Reply, Trouble> {
        let round = Round {
            id: self.target.id(),
            shared: &self.shared,
            cadence: self.target.cadence,
            credentials: &self.credentials,
            stored: false,
            vigil: None,
            fresh: false,
            poke: &self.poke,
        };
        let mut deadline = Deadline::after(round.cadence.deadline);
        if !self.line.prepare(&round).map_err(Trouble::Failed)? {
            return Err(Trouble::Failed(Cause::Credentials));
        }
        let request = self.line.question(question).ok_or(Trouble::Failed(Cause::Blocked))?;
        let options = &round.shared.options;
        if let Some(wire) = self.line.kept.take().and_then(Wire::wake)
            && let Ok((answer, body, wire)) =
                deadline.bound(Cause::Timeout, wire.ask_whole(request.clone(), options)).await?
        {
            return Ok(self.line.replied(wire, &answer, body));
        }
        let wire = Box::pin(self.line.dial(&round, &mut deadline)).await?;
        let (answer, body, wire) = deadline.bound(Cause::Timeout, wire.ask_whole(request, options)).await??;
        Ok(self.line.replied(wire, &answer, body))
    }
}

#[async_trait]
impl Conversation for HttpConversation {
    async fn ask(&mut self, question: Question) -> Result<Reply, Silence> {
        self.answer(&question).await.map_err(|trouble| match trouble {
            Trouble::Failed(cause) => Silence::Failed(cause),
            Trouble::NotRun(reason) => Silence::NotRun(reason),
        })
    }
}

impl Line {
    /// The request that asks a question; its path begins where the cluster's URL ends.
    fn question(&self, question: &Question) -> Option<Request<Full<Bytes>>> {
        let mut request = self.request(true)?;
        *request.uri_mut() = Uri::try_from(format!("{}{}", self.base(), question.path)).ok()?;
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, if question.metadata_only { METADATA } else { JSON });
        if let Some(body) = &question.body {
            headers.insert(header::CONTENT_TYPE, JSON);
            *request.method_mut() = Method::POST;
            *request.body_mut() = Full::new(Bytes::copy_from_slice(body));
        }
        Some(request)
    }

    /// Keeps the connection for the next question, where it may be kept.
    fn replied(&mut self, wire: Wire, answer: &Answer, body: Zeroizing<Vec<u8>>) -> Reply {
        self.kept = wire.after(answer);
        Reply { status: answer.status, overflows: answer.overflows, body }
    }
}

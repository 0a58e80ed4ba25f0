//! A conversation whose answers a test makes up.

use async_trait::async_trait;

use super::ask::{Conversation, Question, Reply, Silence};

/// Answers as a closure says.
pub(super) struct Scripted<F>(F);

impl<F> Scripted<F>
where
    F: FnMut(&Question) -> Result<(u16, String), Silence> + Send + 'static,
{
    /// A conversation for an interview.
    pub(super) fn conversation(answer: F) -> Box<dyn Conversation> {
        Box::new(Self(answer))
    }
}

#[async_trait]
impl<F> Conversation for Scripted<F>
where
    F: FnMut(&Question) -> Result<(u16, String), Silence> + Send,
{
    async fn ask(&mut self, question: Question) -> Result<Reply, Silence> {
        let (status, body) = (self.0)(&question)?;
        Ok(Reply { status, overflows: false, body: body.into_bytes().into() })
    }
}

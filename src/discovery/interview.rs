//! An interview: a conversation with an end. Counts questions, bytes and time, and follows lists page by page.

use std::time::Duration;

use fleetbeat_actors::health::Cause;
use tokio::time::Instant;

use super::{
    ask::{Conversation, Question, Reply, Silence},
    gap::Gap,
    read::{Malformed, Page},
};

/// Longest token of a next page, bytes; etcd's are a few hundred.
const MAX_CONTINUE: usize = 4_096;
/// After so many questions in a row without any answer, nobody is there.
const MAX_SILENT: u32 = 2;
/// Larger bodies are read on a thread of their own, out of the way of health checks.
const READ_APART: usize = 64 * 1024;

/// How much one interview may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Time, waiting for the permit not counted.
    pub time: Duration,
    /// Bytes of all answers' bodies together.
    pub bytes: usize,
    /// Questions.
    pub questions: u32,
}

/// What was found of a list: everything, or something with the reason why not more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing<T> {
    /// What was found.
    pub items: Vec<T>,
    /// Why there may be more.
    pub gap: Option<Gap>,
}

impl<T> Default for Listing<T> {
    fn default() -> Self {
        Self { items: Vec::new(), gap: None }
    }
}

impl<T> Listing<T> {
    /// Nothing, for a reason.
    pub fn unknown(gap: Gap) -> Self {
        Self { items: Vec::new(), gap: Some(gap) }
    }

    /// Everything that there is, or why it is not known.
    pub fn whole(&self) -> Result<&[T], Gap> {
        self.gap.map_or(Ok(&self.items), Err)
    }

    /// Is there one that fits? Not finding any is an answer only when everything was seen.
    pub fn any(&self, fits: impl Fn(&T) -> bool) -> Option<bool> {
        match self.items.iter().any(fits) {
            true => Some(true),
            false => self.gap.is_none().then_some(false),
        }
    }
}

/// A conversation within a budget.
pub struct Interview {
    conversation: Box<dyn Conversation>,
    until: Instant,
    bytes_left: usize,
    questions_left: u32,
    silent: u32,
}

impl Interview {
    /// An interview that begins now.
    pub fn begin(conversation: Box<dyn Conversation>, budget: Budget) -> Self {
        Self {
            conversation,
            until: Instant::now() + budget.time,
            bytes_left: budget.bytes,
            questions_left: budget.questions,
            silent: 0,
        }
    }

    /// One question; only a whole answer of status 2xx is one.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn ask(&mut self, question: Question) -> Result<Reply, Gap> {
        if self.questions_left == 0 || self.bytes_left == 0 {
            return Err(if self.bytes_left == 0 { Gap::TooLarge } else { Gap::Endless });
        }
        if self.silent >= MAX_SILENT {
            return Err(Gap::Silent(Silence::Failed(Cause::Timeout)));
        }
        self.questions_left -= 1;
        let answer = tokio::time::timeout_at(self.until, self.conversation.ask(question)).await;
        let reply = match answer {
            Err(_) => return Err(Gap::Late),
            Ok(Err(silence)) => {
                self.silent += 1;
                return Err(silence.into());
            }
            Ok(Ok(reply)) => reply,
        };
        self.silent = 0;
        self.bytes_left = self.bytes_left.saturating_sub(reply.body.len());
        match reply.status {
            200..=299 if reply.overflows => Err(Gap::TooLarge),
            200..=299 => Ok(reply),
            status => Err(Gap::of_status(status)),
        }
    }

    /// One question whose answer is read by `read`.
    ///
    /// # Errors
    /// Why there is no answer that can be read.
    pub async fn learn<T: Send + 'static>(
        &mut self,
        question: Question,
        read: fn(&[u8]) -> Result<T, Malformed>,
    ) -> Result<T, Gap> {
        let body = self.ask(question).await?.body;
        let read = move |body: &[u8]| read(body).map_err(|Malformed| Gap::Malformed);
        if body.len() <= READ_APART {
            return read(&body);
        }
        tokio::task::spawn_blocking(move || read(&body)).await.unwrap_or(Err(Gap::Malformed))
    }

    /// A list, page by page, at most `most` items of it.
    pub async fn list<T: Send + 'static>(
        &mut self,
        first: Question,
        page_size: u32,
        most: usize,
        read: fn(&[u8]) -> Result<Page<T>, Malformed>,
    ) -> Listing<T> {
        let mut found = Listing::default();
        let mut after: Option<String> = None;
        loop {
            match self.learn(page_of(&first, page_size, after.as_deref()), read).await {
                Ok(page) => {
                    found.items.extend(page.items);
                    let Some(next) = page.next else { return found };
                    if next.len() > MAX_CONTINUE || after.as_ref() == Some(&next) || found.items.len() >= most {
                        found.items.truncate(most);
                        return Listing { gap: Some(Gap::Endless), ..found };
                    }
                    after = Some(next);
                }
                Err(gap) => return Listing { gap: Some(gap), ..found },
            }
        }
    }
}

fn page_of(first: &Question, size: u32, after: Option<&str>) -> Question {
    let join = if first.path.contains('?') { '&' } else { '?' };
    let mut path = format!("{}{join}limit={size}", first.path);
    if let Some(token) = after {
        path.push_str("&continue=");
        path.extend(url::form_urlencoded::byte_serialize(token.as_bytes()));
    }
    Question { path, ..first.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::{read, testing::Scripted};

    const ALL: Budget = Budget { time: Duration::from_secs(60), bytes: 10_000, questions: 100 };

    fn page(names: &[&str], next: Option<&str>) -> String {
        let items: Vec<_> = names.iter().map(|name| serde_json::json!({ "metadata": { "name": name } })).collect();
        serde_json::json!({ "metadata": { "continue": next }, "items": items }).to_string()
    }

    async fn list(
        budget: Budget,
        answer: impl FnMut(&Question) -> Result<(u16, String), Silence> + Send + 'static,
    ) -> Listing<String> {
        let mut interview = Interview::begin(Scripted::conversation(answer), budget);
        interview.list(Question::names("/api/v1/namespaces"), 2, 50, read::names).await
    }

    #[tokio::test]
    async fn a_list_is_followed_to_its_last_page() {
        let found = list(ALL, |question| {
            Ok((
                200,
                match question.path.as_str() {
                    "/api/v1/namespaces?limit=2" => page(&["a", "b"], Some("x/y=")),
                    "/api/v1/namespaces?limit=2&continue=x%2Fy%3D" => page(&["c"], None),
                    other => panic!("{other}"),
                },
            ))
        })
        .await;
        assert_eq!(found.whole().unwrap(), ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn pages_that_lead_in_a_circle_or_never_end_come_to_an_end() {
        let circle = list(ALL, |_| Ok((200, page(&["a"], Some("same"))))).await;
        assert_eq!(circle, Listing { items: vec!["a".into(), "a".into()], gap: Some(Gap::Endless) });
        let mut count = 0;
        let endless = list(ALL, move |_| {
            count += 1;
            Ok((200, page(&["a"], Some(&format!("t{count}")))))
        })
        .await;
        assert_eq!((endless.items.len(), endless.gap), (50, Some(Gap::Endless)));
        let giant = list(ALL, |_| Ok((200, page(&["a"], Some(&"t".repeat(5_000)))))).await;
        assert_eq!(giant.gap, Some(Gap::Endless));
    }

    #[tokio::test]
    async fn questions_and_bytes_run_out() {
        let mut count = 0;
        let mut next = move |_: &Question| {
            count += 1;
            Ok((200, page(&["a"], Some(&format!("t{count}")))))
        };
        assert_eq!(list(Budget { questions: 3, ..ALL }, move |q| next(q)).await.items.len(), 3);
        let heavy = list(Budget { bytes: 10, ..ALL }, |_| Ok((200, page(&["a"], Some("t"))))).await;
        assert_eq!(heavy.gap, Some(Gap::TooLarge));
    }

    #[tokio::test]
    async fn what_was_found_before_a_failure_counts() {
        let found = list(ALL, |question| match question.path.contains("continue") {
            true => Ok((403, String::new())),
            false => Ok((200, page(&["du-1"], Some("t")))),
        })
        .await;
        assert_eq!(found.any(|name| name == "du-1"), Some(true));
        assert_eq!(found.any(|name| name == "cu-1"), None);
        assert_eq!(found.whole(), Err(Gap::Forbidden));
    }

    #[tokio::test]
    async fn nobody_is_asked_on_and_on_who_does_not_answer() {
        let mut interview = Interview::begin(Scripted::conversation(|_| Err(Silence::Failed(Cause::Timeout))), ALL);
        for _ in 0..10 {
            let silent = interview.ask(Question::get("/")).await;
            assert_eq!(silent.unwrap_err(), Gap::Silent(Silence::Failed(Cause::Timeout)));
        }
        assert_eq!(interview.questions_left, 98);
    }
}

//! A copy of what a share shows, as a thread of the reader's own.
//!
//! Nothing but what the reader sees is taken, and nothing leads back: no ids, no files, no models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;
use spool_store::{Id, Order, PaginationOpts, Tx};

use super::view::title_of;
use super::visible::{self, SharedMessage, SharedPart};
use crate::audit;
use crate::context::CallContext;
use crate::limits;
use crate::owned::shared::{self, Ticket};
use crate::parts::Part;
use crate::quota;
use crate::tables::audit::Outcome;
use crate::tables::{Message, Origin, Share, ShareMode, Thread, TitleSource, message};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Copy {
    pub token: Option<String>,
    pub share_id: Option<Id<Share>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Copied {
    /// The new thread, which is the caller's.
    pub thread_id: Id<Thread>,
    pub messages: u64,
    /// Whether everything fitted; a longer conversation begins later in the copy.
    pub complete: bool,
}

/// `shares:copy`: the newest messages that are over. An answer that is being made is not taken.
pub fn copy(tx: &mut Tx<'_>, ctx: &CallContext, args: Copy) -> Result<Copied> {
    let user = ctx.user()?.clone();
    let ticket = Ticket::of(args.token.as_deref(), args.share_id.as_ref())?;
    let (source, share) = shared::open(tx, ctx, ticket)?;
    quota::check_thread(tx, ctx)?;
    let (taken, complete) = newest(tx, &source, &share)?;
    let mut thread = Thread::new(tx, &user, title_of(&source, &share), TitleSource::Auto);
    for shown in taken {
        let seq = thread.take_seq();
        let mut message = Message::new(tx, &thread.id, seq, shown.role, Origin::Import);
        message.parts = shown.parts.into_iter().map(own).collect();
        tx.put(&message)?;
    }
    thread.history_version = thread.message_count;
    tx.put(&thread)?;
    quota::add_thread(tx, &user)?;
    audit::record(tx, ctx, "share.copy", share.id.as_str(), Outcome::Done)?;
    Ok(Copied { thread_id: thread.id, messages: thread.message_count, complete })
}

/// What is shown and over, oldest first, and whether that is all. A page is bounded in rows and in bytes.
fn newest(tx: &mut Tx<'_>, source: &Thread, share: &Share) -> Result<(Vec<SharedMessage>, bool)> {
    let mut scan = tx.query::<Message>(message::BY_THREAD).eq(&source.id).order(Order::Desc);
    if share.mode == ShareMode::Snapshot {
        scan = scan.lt(share.through_seq.map_or(0, |last| last + 1));
    }
    let options = PaginationOpts { num_items: limits::COPIED_MESSAGES, ..PaginationOpts::default() };
    let page = scan.paginate(&options)?;
    let shown = page.page.into_iter().filter_map(|row| visible::message(share, row));
    let mut taken: Vec<SharedMessage> =
        shown.filter(|message| message.status.is_terminal() && !message.parts.is_empty()).collect();
    taken.reverse();
    Ok((taken, page.is_done))
}

/// A part that needs nothing of the other thread. A file stays there: the copy says its name.
fn own(part: SharedPart) -> Part {
    match part {
        SharedPart::Text { text } => Part::Text { text },
        SharedPart::Reasoning { text } => Part::Reasoning { text },
        SharedPart::ToolCall { tool_call_id, tool, state, input, output, error } => Part::ToolCall {
            tool_call_id,
            tool,
            state,
            input,
            output,
            error,
            started_at: None,
            ended_at: None,
            parent_tool_call_id: None,
        },
        SharedPart::Source { title, url, snippet } => Part::Source { title, url, snippet, source_id: None },
        SharedPart::File { name, .. } => {
            let name = name.unwrap_or_else(|| "unnamed".to_owned());
            Part::Text { text: format!("[File: {name}]\n\n") }
        }
    }
}

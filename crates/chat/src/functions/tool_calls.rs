//! Calls of tools, as the owner of a thread looks them up: the audit trail of what assistants did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use spool_protocol::Result;
use spool_store::{Id, Order, Page, PaginationOpts, Tx};

use crate::context::CallContext;
use crate::owned;
use crate::tables::{Thread, ToolCall, ToolCallView, tool_call};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListByThread {
    pub thread_id: Id<Thread>,
    pub pagination_opts: PaginationOpts,
}

/// `toolCalls:listByThread`: the newest first.
pub fn list_by_thread(tx: &mut Tx<'_>, ctx: &CallContext, args: ListByThread) -> Result<Page<ToolCallView>> {
    let thread = owned::thread(tx, &ctx.principal, &args.thread_id)?;
    let scan = tx.query::<ToolCall>(tool_call::BY_THREAD).eq(&thread.id).order(Order::Desc);
    Ok(scan.paginate(&args.pagination_opts)?.map(ToolCallView::from))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct One {
    pub id: Id<ToolCall>,
}

/// `toolCalls:get`
pub fn get(tx: &mut Tx<'_>, ctx: &CallContext, args: One) -> Result<ToolCallView> {
    Ok(ToolCallView::from(owned::tool_call(tx, &ctx.principal, &args.id)?))
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Output {
    pub id: Id<ToolCall>,
    /// Where to read from: 0, or the `cursor` of an earlier result.
    #[serde(default)]
    pub cursor: u64,
}

/// A piece of a result that is too large for its row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OutputPage {
    pub text: String,
    /// Where to go on, in bytes.
    pub cursor: u64,
    pub done: bool,
}

/// `toolCalls:output`: the whole result as JSON text, piece by piece. Empty if the row has all of it.
pub fn output(tx: &mut Tx<'_>, ctx: &CallContext, args: Output) -> Result<OutputPage> {
    let call = owned::tool_call(tx, &ctx.principal, &args.id)?;
    let total = call.output_bytes.unwrap_or(0);
    let (mut text, mut cursor) = (String::new(), args.cursor.min(total));
    for chunk in tx.log_read(call.id.as_str(), cursor)? {
        let skip = usize::try_from(cursor.saturating_sub(chunk.start)).unwrap_or(usize::MAX);
        let Some(rest) = chunk.data.get(skip..) else { continue };
        text.push_str(rest);
        cursor = chunk.end;
    }
    Ok(OutputPage { text, cursor, done: cursor >= total })
}

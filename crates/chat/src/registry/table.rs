//! The rows of the table. A new function is one row here and one Rust function.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{Access, Function, Kind, Visibility};
use crate::args::decode;
use crate::doctor;
use crate::functions::{
    Nothing, account, approvals, artifacts, audit, credentials, driver, external, generations, guests, keys, listing,
    logs, machines, memory, messages, notices, passwords, push, remains, roles, rules, runtime, server, sessions,
    shares, streams, subscriptions, summaries, threads, todos, tool_calls, turns, uploads, usage, users, windows,
    workers,
};
use crate::tables::{MessageView, UploadView};

/// `path: kind access (handler)(Args) -> Result = "what it does"`. Internal is what only the server may call.
macro_rules! functions {
    ($($path:literal: $kind:ident $access:ident $handler:path, $args:ty => $returns:ty, $description:literal;)*) => {
        &[$(Function {
            path: $path,
            kind: Kind::$kind,
            visibility: functions!(@visibility $access),
            access: Access::$access,
            description: $description,
            args_schema: <$args as JsonSchema>::json_schema,
            returns_schema: returns::<$returns>,
            run: functions!(@run $kind $handler, $args, $returns),
        },)*]
    };
    (@visibility System) => { Visibility::Internal };
    (@visibility $access:ident) => { Visibility::Public };
    (@run Action $handler:path, $args:ty, $returns:ty) => { None };
    (@run $kind:ident $handler:path, $args:ty, $returns:ty) => {
        Some(|tx, ctx, args| {
            let result: $returns = $handler(tx, ctx, decode::<$args>(args)?)?;
            serde_json::to_string(&result).map_err(|error| spool_protocol::Error::internal(format!("encoding a result: {error}")))
        })
    };
}

/// A page is generic, and its name says nothing of its rows: it stands where it is used.
fn returns<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    if T::schema_name() == "Page" { T::json_schema(generator) } else { generator.subschema_for::<T>() }
}

/// Every function of the server.
pub static FUNCTIONS: &[Function] = functions![
    "server:info": Query Anyone server::info, Nothing => crate::context::ServerInfo,
        "What this server is: its name, version and models.";

    "users:me": Query Anyone users::me, Nothing => Option<crate::tables::UserView>,
        "The signed-in user, or null without credentials.";
    "users:viewAs": Mutation User roles::view_as, roles::ViewAs => crate::tables::UserView,
        "Looks at things as one role, or stops. Administrators: any role of this server; others: their own.";
    "users:setRoles": Mutation User roles::set_roles, roles::SetRoles => crate::tables::UserView,
        "Gives a user roles. For administrators.";
    "users:provision": Mutation System users::provision, users::Provision => spool_store::Id<crate::tables::User>,
        "The user of a verified identity; the first call makes the row.";

    "users:claim": Mutation System guests::claim::claim, guests::claim::Claim => guests::claim::Moved,
        "An account takes over what a guest has, exactly once: the first step.";
    "users:moving": Query System guests::claim::is_moving, Nothing => bool,
        "Whether rows of a claimed guest wait to be moved.";
    "users:move": Mutation System guests::claim::carry_on, guests::claim::Move => guests::claim::Moved,
        "Moves rows of a claimed guest, in bounded steps.";
    "guests:admit": Mutation System guests::admit, guests::Admit => spool_store::Id<crate::tables::User>,
        "The guest that is given a token; the first call makes the row.";
    "guests:find": Query System guests::find, guests::Identity => Option<guests::Found>,
        "The guest that a token speaks of, and whether an account has claimed it.";
    "guests:idle": Query System guests::is_idle, Nothing => bool,
        "Whether a guest was without activity for the time of retention.";
    "guests:expire": Mutation System guests::expire, guests::Expire => crate::functions::Deleted,
        "Removes guests without activity, in bounded steps.";
    "usage:me": Query User usage::me, Nothing => usage::UsageView,
        "What the caller has used this month and has now, beside the limits.";
    "account:deleteMyAccount": Action User account::leave, account::DeleteMyAccount => account::AccountDeleted,
        "Deletes the caller's account with every row and file that belongs to it. Nothing of it comes back.";
    "account:leave": Mutation System account::leave, account::Leave => (),
        "Marks an account for its erasure: nobody writes for it any more.";
    "account:erase": Mutation System account::erase, account::Erase => account::Erased,
        "Erases what belongs to an account that is marked, in bounded steps.";
    "account:abandoned": Query System account::abandoned, Nothing => Option<spool_store::Id<crate::tables::User>>,
        "An account whose erasure nobody is at.";
    "account:departed": Query System account::recently_departed, Nothing => Vec<String>,
        "Hashes of the users who left lately.";
    "account:forget": Mutation System account::forget, account::Forget => crate::functions::Deleted,
        "Forgets departures of which no token can be good any more.";
    "audit:mine": Query User audit::mine, audit::ListPage => spool_store::Page<crate::tables::audit::AuditView>,
        "What the caller did to rights and data, and was refused, newest first.";
    "audit:list": Query System audit::list, audit::ListPage => spool_store::Page<crate::tables::audit::AuditView>,
        "The whole audit trail, newest first.";
    "audit:note": Mutation System audit::note, audit::Note => (),
        "Adds what was seen at the boundary.";
    "audit:prune": Mutation System audit::prune, audit::Prune => crate::functions::Deleted,
        "Removes old entries of the audit trail, in bounded steps.";

    "threads:create": Mutation User threads::create, threads::Create => spool_store::Id<crate::tables::Thread>,
        "Makes a thread and returns its id. An externalId that the caller used before gives the same thread.";
    "threads:get": Query User threads::get, threads::One => Option<crate::tables::ThreadView>,
        "One thread, or null if it is missing or not the caller's.";
    "threads:find": Query User threads::find, threads::Find => Option<crate::tables::ThreadView>,
        "The caller's thread with this externalId, or null.";
    "threads:page": Query User threads::page, threads::ListPage => spool_store::Page<crate::tables::ThreadView>,
        "The caller's threads, last activity first.";
    "threads:update": Mutation User threads::update, threads::Update => (),
        "Changes what is given: absent fields stay, null clears model and context.";
    "threads:remove": Mutation User threads::removal::remove, threads::One => (),
        "Removes a thread with all that depends on it, and stops a running answer. The default thread stays.";
    "threads:clear": Mutation User threads::removal::clear, threads::One => crate::functions::Deleted,
        "Removes messages of a thread, the newest first, in bounded steps: call again while hasMore.";
    "threads:clearAll": Mutation User threads::removal::clear_all, Nothing => crate::functions::Deleted,
        "Removes all threads of the caller and clears the default one, in bounded steps: call again while hasMore.";
    "threads:getOrCreateDefault": Mutation User threads::get_or_create_default, Nothing => spool_store::Id<crate::tables::Thread>,
        "The caller's default thread; there is never more than one.";
    "threads:getOrCreate": Mutation User windows::get_or_create, windows::GetOrCreate => windows::Opened,
        "Where the caller goes on in an application: the thread of the open window, or a new one after its time-out.";
    "windows:page": Query User windows::page, windows::ListPage => spool_store::Page<crate::tables::WindowView>,
        "The caller's windows, of all applications or of one, the newest first.";
    "threads:purgeable": Query System threads::removal::purgeable, Nothing => bool,
        "Whether a removed thread waits for its purge.";
    "threads:purge": Mutation System threads::removal::purge, threads::removal::Purge => crate::functions::Deleted,
        "Removes the rows and logs of removed threads, in bounded steps.";

    "messages:page": Query User messages::page, messages::ListPage => spool_store::Page<MessageView>,
        "The messages of a thread in their order.";
    "messages:listMessages": Query User listing::list_messages, listing::ListMessages => listing::Listing<listing::UiMessage>,
        "Messages and running answers for the hooks of @convex-dev/agent.";
    "ai/streaming:listMessages": Query User listing::list_messages, listing::ListMessages => listing::Listing<listing::UiMessage>,
        "The same under the name that existing front ends call.";
    "threads:listThreadMessages": Query User listing::list_thread_messages, listing::ListMessages => listing::Listing<listing::MessageDoc>,
        "The same as MessageDocs, for the hook useThreadMessages.";
    "messages:get": Query User messages::get, messages::One => MessageView,
        "One message.";
    "messages:append": Mutation User messages::append, messages::Append => spool_store::Id<crate::tables::Message>,
        "Stores a message without asking for an answer. Clients write the role user; services write any.";

    "turns:send": Mutation User turns::send, turns::Send => turns::Sent,
        "Stores a user message, an empty answer and its generation in one step, and returns their ids at once.";
    "turns:retry": Mutation User turns::retry, turns::Retry => turns::Retried,
        "Makes a failed, stopped or interrupted answer again, on the same message.";
    "turns:regenerate": Mutation User turns::regenerate, turns::Retry => turns::Retried,
        "Makes an answer again, on the same message: one that failed, or the newest one if it is complete.";
    "turns:withdraw": Mutation User turns::withdraw, turns::Withdraw => (),
        "Takes a message back that waits for its turn or for the next step of the running answer.";
    "turns:sendAndWait": Action User turns::send, turns::Send => MessageView,
        "Like turns:send, and returns the answer once it is over.";

    "generations:get": Query Reader generations::get, generations::One => crate::tables::GenerationView,
        "How far an answer is.";
    "generations:active": Query User generations::active, Nothing => Vec<crate::tables::GenerationView>,
        "The caller's answers that are being made.";
    "generations:deltas": Query Reader generations::deltas, generations::Deltas => generations::LogPage,
        "The log of an answer from a cursor on: text, reasoning, tools, and the status at the end.";
    "generations:stop": Mutation User generations::stop, generations::One => generations::Stopped,
        "Stops an answer that is being made; what it has is kept.";
    "generations:open": Mutation Service external::open, external::Open => external::Opened,
        "Begins an answer that the caller makes itself.";
    "generations:append": Mutation Runner external::append_events, external::Append => external::Appended,
        "Adds events to an answer that the caller makes. A late append is answered with a reason.";
    "generations:finish": Mutation Runner external::finish, external::Finish => external::Finished,
        "Ends an answer that the caller makes. A full text wins over the events; repeating changes nothing.";
    "logs:cleanUp": Mutation Service logs::clean_up, logs::CleanUp => crate::functions::Deleted,
        "Removes the logs of answers that ended so many hours ago, in bounded steps: call again while hasMore. Messages stay.";

    "artifacts:create": Mutation User artifacts::create, artifacts::Create => artifacts::Saved,
        "Makes a document of a thread. A key that was used before in the thread gives the same artifact.";
    "artifacts:update": Mutation User artifacts::update, artifacts::Update => artifacts::Saved,
        "Changes an artifact: new content makes a new version, which is a draft.";
    "artifacts:get": Query User artifacts::get, artifacts::Get => artifacts::ArtifactView,
        "One version of an artifact with its content; absent is the newest.";
    "artifacts:versions": Query User artifacts::versions, artifacts::Versions => spool_store::Page<crate::tables::VersionView>,
        "The versions of an artifact without their contents, newest first.";
    "artifacts:listByThread": Query User artifacts::list_by_thread, artifacts::ListPage => spool_store::Page<crate::tables::ArtifactSummary>,
        "The artifacts of a thread without their contents, newest first.";
    "artifacts:diff": Query User artifacts::diff, artifacts::Diff => artifacts::Difference,
        "What changed between two versions of an artifact, by lines.";
    "artifacts:begin": Mutation User artifacts::begin, artifacts::Begin => artifacts::Begun,
        "Begins a version that is written piece by piece, of a new artifact or of one that is there.";
    "artifacts:append": Mutation User artifacts::append, artifacts::Append => artifacts::Written,
        "Adds text to a version that is being written. Repeating it changes nothing.";
    "artifacts:finish": Mutation User artifacts::finish, artifacts::Finish => artifacts::Saved,
        "Ends the writing of a version: its text is its content from now on.";
    "artifacts:deltas": Query User artifacts::deltas, artifacts::Deltas => artifacts::TextPage,
        "The text of a version from a cursor on, while it is written and afterwards.";

    "todos:get": Query User todos::get, todos::One => crate::tables::TodosView,
        "What is to be done in a thread.";
    "todos:update": Mutation User todos::update, todos::Update => todos::Saved,
        "Replaces the list of what is to be done in a thread.";

    "approvals:request": Mutation Runner approvals::request, approvals::Request => crate::tables::ApprovalView,
        "Asks the owner of the thread, for an answer that the caller makes. Asking again gives the same approval.";
    "approvals:ofAnswer": Query Runner approvals::of_answer, approvals::OfAnswer => Vec<crate::tables::ApprovalView>,
        "What whoever makes an answer asked for it, and what became of that.";
    "approvals:get": Query User approvals::get, approvals::One => crate::tables::ApprovalView,
        "One approval: what is asked about, and what became of it.";
    "approvals:list": Query User approvals::list, approvals::List => approvals::ApprovalInbox,
        "The caller's inbox across threads, the pending first, and how many are pending and unread.";
    "approvals:markSeen": Mutation User approvals::mark_seen, approvals::MarkSeen => (),
        "Notes up to when the caller has seen the inbox.";
    "approvals:listByThread": Query User approvals::list_by_thread, approvals::ListByThread => approvals::ThreadApprovals,
        "The approvals of a thread, the pending first, and how many are pending.";
    "approvals:decide": Mutation User approvals::decide, approvals::Decide => crate::tables::ApprovalView,
        "Approves or rejects, once. Only the owner of the thread can, and where several decide, each once.";
    "toolCalls:listByThread": Query User tool_calls::list_by_thread, tool_calls::ListByThread => spool_store::Page<crate::tables::ToolCallView>,
        "The calls of tools of a thread, newest first.";
    "toolCalls:get": Query User tool_calls::get, tool_calls::One => crate::tables::ToolCallView,
        "One call of a tool: for whom it ran, in which role, when, and what became of it.";
    "toolCalls:output": Query User tool_calls::output, tool_calls::Output => tool_calls::OutputPage,
        "A result that is too large for its row, piece by piece.";
    "debug:prompt": Query User driver::show_prompt, driver::ShowPrompt => Option<driver::PromptView>,
        "What a model was told before it answered, section by section.";
    "approvals:decideMany": Mutation User approvals::decide_many, approvals::DecideMany => Vec<approvals::Decided>,
        "Up to 100 decisions in one transaction, each with its own outcome.";
    "rules:list": Query User rules::list, Nothing => Vec<crate::tables::RuleView>,
        "The caller's rules about calls of tools, the oldest first.";
    "rules:create": Mutation User rules::create, rules::Create => crate::tables::RuleView,
        "Makes a rule about calls of tools in the caller's threads: allow, deny or ask.";
    "rules:remove": Mutation User rules::remove, rules::One => (),
        "Takes a rule back.";
    "push:subscribe": Mutation User push::subscribe, push::Subscribe => spool_store::Id<crate::tables::PushSubscription>,
        "Tells this browser when something waits for the caller.";
    "push:list": Query User push::list, Nothing => Vec<crate::tables::PushView>,
        "The caller's browsers that are told.";
    "push:unsubscribe": Mutation User push::unsubscribe, push::One => (),
        "Tells a browser nothing any more.";
    "notices:nextDue": Query System notices::next_due, Nothing => Option<u64>,
        "When the next notice is to be sent.";
    "notices:take": Mutation System notices::take, Nothing => Vec<notices::Taken>,
        "Takes notices that are due, to send them.";
    "notices:content": Query System notices::content, notices::One => Option<notices::Content>,
        "What a notice says, and to whom.";
    "notices:settle": Mutation System notices::settle, notices::Settle => (),
        "Notes what became of sending a notice.";
    "approvals:nextExpiry": Query System approvals::next_expiry, Nothing => Option<u64>,
        "When the next approval is over.";
    "approvals:expire": Mutation System approvals::expire, Nothing => crate::functions::Deleted,
        "Ends approvals that nobody decided in time.";

    "uploads:list": Query User uploads::list, uploads::List => Vec<UploadView>,
        "The files of a thread, oldest first.";
    "uploads:get": Query User uploads::get, uploads::One => UploadView,
        "What a file is. Its bytes are at GET /api/uploads/<id>.";
    "uploads:readUrl": Mutation User uploads::read_url, uploads::ReadUrl => streams::urls::SignedUrl,
        "A signed URL of a file's bytes, for readers that cannot send headers, until it expires.";
    "uploads:remove": Mutation User uploads::remove, uploads::One => (),
        "Removes a file. Messages that show it keep its name.";
    "uploads:writable": Query System uploads::check_writable, uploads::Writable => (),
        "Whether a caller may add files to a thread.";
    "uploads:create": Mutation System uploads::create, uploads::Create => uploads::Created,
        "The row of a file whose bytes are stored.";
    "uploads:unwanted": Query System uploads::unwanted, uploads::Limit => Vec<spool_store::Id<crate::tables::Upload>>,
        "Removed files whose bytes have to go.";
    "uploads:forget": Mutation System uploads::forget, uploads::Ids => (),
        "Ends the rows of removed files whose bytes are gone.";
    "uploads:known": Query System uploads::known, uploads::Ids => Vec<spool_store::Id<crate::tables::Upload>>,
        "Those of the ids that are files of somebody.";
    "uploads:everyone": Query System uploads::everyone, uploads::Everyone => spool_store::Page<UploadView>,
        "The files of all threads.";

    "shares:create": Mutation User shares::create, shares::Create => spool_store::Id<crate::tables::Share>,
        "Makes a link that lets others read a thread. shares:get tells its path.";
    "shares:grant": Mutation User shares::grant, shares::Grant => spool_store::Id<crate::tables::Share>,
        "Lets one person read a thread as it goes on. Again for the same person, it changes the same share.";
    "shares:list": Query User shares::list, shares::List => Vec<crate::tables::ShareView>,
        "The shares of the caller's thread that can be read, newest first.";
    "shares:get": Query User shares::get, shares::One => crate::tables::ShareView,
        "One share of a thread of the caller's, with the path of its link.";
    "shares:revoke": Mutation User shares::revoke, shares::One => (),
        "Ends a share at once, also where it is being read.";
    "shares:withMe": Query User shares::view::with_me, Nothing => Vec<shares::view::SharedWithMe>,
        "The threads that others share with the caller, newest first.";
    "shares:view": Query Anyone shares::view::view, shares::view::View => shares::view::SharedThread,
        "What a link or a share shows, above its messages.";
    "shares:messages": Query Anyone shares::view::messages, shares::view::Messages => spool_store::Page<shares::SharedMessage>,
        "The messages that a link or a share shows, in their order.";
    "shares:deltas": Query Anyone shares::view::deltas, shares::view::Deltas => shares::view::SharedLogPage,
        "The running answer of a live share from a cursor on, as far as it is shown.";
    "shares:fileUrl": Mutation Anyone shares::view::file_url, shares::view::FileUrl => streams::urls::SignedUrl,
        "A signed URL of a file that a share includes, until it expires or the share ends.";
    "shares:copy": Mutation User shares::copy::copy, shares::copy::Copy => shares::copy::Copied,
        "Copies what a link or a share shows into a new thread of the caller.";
    "shares:file": Query System shares::view::file, shares::view::File => UploadView,
        "The file that a URL of a share opens.";
    "shares:nextExpiry": Query System shares::next_expiry, Nothing => Option<u64>,
        "When the next share is over.";
    "shares:expire": Mutation System shares::expire, Nothing => crate::functions::Deleted,
        "Ends shares whose time is over.";

    "summaries:get": Query User summaries::get, summaries::One => crate::tables::SummaryView,
        "The summary of a thread's older messages; version 0 until one is made.";
    "summaries:due": Query System summaries::due, summaries::List => Vec<summaries::Due>,
        "Summaries that are to be made, the first due first.";
    "summaries:claim": Mutation System summaries::claim, summaries::Claim => Option<summaries::Work>,
        "What a due summary is made of, with a lease, or null.";
    "summaries:finish": Mutation System summaries::finish, summaries::Finish => bool,
        "The new summary of a thread; false if the lease was lost.";
    "summaries:failed": Mutation System summaries::failed, summaries::Failed => (),
        "Making a summary failed: it is tried again later.";
    "summaries:awaited": Query System summaries::awaited, summaries::Awaited => Option<u64>,
        "Until when an answer waits for the summary of the window before its own.";

    "memory:get": Query User memory::get, Nothing => memory::Memory,
        "What the assistant remembers of the caller.";
    "memory:update": Mutation User memory::update, memory::Update => memory::Saved,
        "Replaces the entries of the memory.";
    "memory:versions": Query User memory::memory_versions, memory::ListPage => spool_store::Page<crate::tables::StateVersionView>,
        "The newest versions of the memory, the newest first.";
    "memory:clear": Mutation User memory::clear, Nothing => (),
        "Empties the memory and forgets its versions.";
    "memory:clearAll": Mutation User memory::clear::clear_all, memory::clear::ClearAll => memory::clear::Cleared,
        "Removes the memory and every conversation that has a window, and stops what runs in them: call again while not cleared.";
    "instructions:get": Query User memory::get_instructions, Nothing => memory::Instructions,
        "What the caller tells every conversation.";
    "instructions:set": Mutation User memory::set_instructions, memory::SetInstructions => memory::Saved,
        "Sets what every conversation of the caller is told.";
    "instructions:versions": Query User memory::instructions_versions, memory::ListPage => spool_store::Page<crate::tables::StateVersionView>,
        "The newest versions of the caller's instructions, the newest first.";
    "profile:get": Query User memory::get_profile, memory::OfUser => memory::Profile,
        "What the application says of the caller, or, for backends, of any user.";
    "profile:set": Mutation User memory::set_profile, memory::SetProfile => memory::Saved,
        "Sets what the application says of the caller, or, for backends, of any user.";

    "keys:create": Mutation System keys::create, keys::Create => crate::tables::KeyView,
        "Stores the hash of a new service key's secret.";
    "keys:list": Query System keys::list, Nothing => Vec<crate::tables::KeyView>,
        "The service keys, newest first.";
    "keys:revoke": Mutation System keys::revoke, keys::Revoke => (),
        "Ends a service key.";
    "credentials:find": Query System credentials::find, credentials::Find => Option<credentials::Found>,
        "What a secret with this hash stands for, or null.";
    "credentials:openSession": Mutation System credentials::open_session, credentials::OpenSession => spool_store::Id<crate::tables::Credential>,
        "Stores the hash of a new session's secret.";
    "credentials:session": Query System credentials::session, credentials::Find => Option<credentials::Session>,
        "The session that a secret with this hash opens, or null.";
    "credentials:touch": Mutation System credentials::touch, credentials::Touch => (),
        "Notes that a credential was used.";
    "credentials:revoked": Query System credentials::revoked, Nothing => credentials::Revoked,
        "The credentials that were revoked lately, and the guests that were claimed, newest first.";
    "credentials:revoke": Mutation System credentials::revoke, credentials::One => (),
        "Ends a credential.";
    "credentials:revokeAll": Mutation System credentials::revoke_all, credentials::OfUser => (),
        "Ends every credential of a user, but for one.";
    "credentials:sweepable": Query System credentials::sweepable, Nothing => bool,
        "Whether there are sessions that are over.";
    "credentials:sweep": Mutation System credentials::sweep, credentials::Sweep => crate::functions::Deleted,
        "Removes sessions that are over, in bounded steps.";

    "passwords:find": Query System passwords::find, passwords::Find => Option<passwords::Found>,
        "What the password of an account is compared with, or null.";
    "passwords:create": Mutation System passwords::create, passwords::Create => spool_store::Id<crate::tables::User>,
        "Makes an account with an e-mail address.";
    "passwords:signIn": Mutation System passwords::sign_in, passwords::SignIn => Option<spool_store::Id<crate::tables::Credential>>,
        "Opens a session for a password that was right, if it still is.";
    "passwords:change": Mutation System passwords::change, passwords::Change => bool,
        "Sets another password and ends every other session.";
    "passwords:allowReset": Mutation System passwords::allow_reset, passwords::AllowReset => Option<String>,
        "Lets whoever has a token set the password of an account.";
    "passwords:forReset": Query System passwords::for_reset, passwords::Token => Option<passwords::Found>,
        "Whose password a token sets, or null.";
    "passwords:reset": Mutation System passwords::reset, passwords::ResetOne => Option<passwords::Found>,
        "Sets a password by a token, once, and ends every session.";
    "passwords:promote": Mutation System passwords::promote, passwords::Promote => bool,
        "Makes the person of an account an administrator.";
    "passwords:admins": Query System passwords::admins, Nothing => Vec<crate::tables::AdminView>,
        "Who runs the server.";

    "sessions:list": Query User sessions::list, Nothing => Vec<crate::tables::SessionView>,
        "Where the caller is signed in, newest first.";
    "sessions:revoke": Mutation User sessions::revoke, sessions::One => (),
        "Signs one device of the caller out.";
    "sessions:revokeOthers": Mutation User sessions::revoke_others, sessions::One => (),
        "Signs every device of the caller out but one.";
    "sessions:getByThread": Query User runtime::get_by_thread, runtime::Find => Option<crate::tables::RuntimeSessionView>,
        "The open session of a runtime that works on a thread, with the phase of its run, or null.";
    "sessions:open": Mutation Service runtime::open, runtime::Open => crate::tables::RuntimeSessionView,
        "Opens the session of a runtime in a thread, or takes the open one up again.";
    "sessions:update": Mutation Service runtime::update, runtime::Update => crate::tables::RuntimeSessionView,
        "Says what a runtime calls its session, whether it rests, and the next phase of its run.";
    "sessions:close": Mutation Service runtime::close, runtime::Close => crate::tables::RuntimeSessionView,
        "Ends the session of a runtime in a thread.";
    "sessions:markLost": Mutation Service runtime::mark_lost, runtime::MarkLost => crate::tables::RuntimeSessionView,
        "Notes that a runtime forgot its session: the next answer is made from the transcript.";

    "machines:create": Mutation User machines::create, machines::Create => spool_store::Id<crate::tables::Machine>,
        "Makes a machine of the caller, on which workers can run.";
    "machines:list": Query User machines::list, Nothing => Vec<crate::tables::MachineView>,
        "The caller's machines with their workers counted, oldest first.";
    "machines:remove": Mutation User machines::remove, machines::One => (),
        "Removes a machine with its workers. What they were writing ends; threads stay.";
    "workers:create": Action User workers::insert, workers::Create => workers::WithToken,
        "Makes a worker of a machine, and its token, which is shown this once. It waits for approval.";
    "workers:rotate": Action User workers::renew, workers::One => workers::WithToken,
        "Gives a worker another token, which is shown this once. The old one is refused from now on.";
    "workers:list": Query User workers::list, workers::List => Vec<crate::tables::WorkerView>,
        "The caller's workers, of all machines or of one, oldest first.";
    "workers:listPending": Query User workers::list_pending, Nothing => Vec<crate::tables::WorkerView>,
        "The caller's workers that wait for approval, oldest first.";
    "workers:approve": Mutation User workers::approve, workers::One => crate::tables::WorkerView,
        "Lets a worker work.";
    "workers:reject": Mutation User workers::reject, workers::One => (),
        "Removes a worker that waits for approval.";
    "workers:revoke": Mutation User workers::revoke, workers::One => crate::tables::WorkerView,
        "Ends a worker for good: its token is refused, its connections close, what it was writing ends.";
    "workers:remove": Mutation User workers::remove, workers::One => (),
        "Revokes a worker and forgets it. Threads that it answered in stay.";
    "workers:connect": Mutation Worker workers::work::connect, Nothing => workers::work::Connected,
        "A worker's process begins: it gets an epoch, and whoever was this worker before is fenced off.";
    "workers:heartbeat": Mutation Worker workers::work::heartbeat, workers::work::InEpoch => (),
        "The worker is there, and goes on with what it has claimed.";
    "workers:assigned": Query Worker workers::work::assigned, workers::work::InEpoch => Vec<workers::work::Assigned>,
        "The answers that are the worker's to make and are not over, oldest first.";
    "workers:claim": Mutation Worker workers::work::claim, workers::work::ClaimNext => Option<workers::work::Job>,
        "Takes a waiting answer with all that it needs, or null.";
    "workers:insert": Mutation System workers::insert, workers::Insert => crate::tables::WorkerView,
        "The row of a new worker, and the hash of its secret.";
    "workers:renew": Mutation System workers::renew, workers::Renew => crate::tables::WorkerView,
        "The hash of a worker's new secret.";
    "workers:authenticate": Query System workers::authenticate, workers::Authenticate => workers::Admission,
        "What a worker's token stands for, or why it is refused.";
    "workers:nextLapse": Query System workers::work::next_lapse, Nothing => Option<u64>,
        "When the next heartbeat stops counting.";
    "workers:lapse": Mutation System workers::work::lapse, Nothing => crate::functions::Deleted,
        "Marks workers whose heartbeat stopped counting, so that live queries hear of it.";

    "driver:queue": Query System driver::queue, driver::Queue => Vec<spool_store::Id<crate::tables::Generation>>,
        "Generations that wait for a driver, oldest first.";
    "driver:claim": Mutation System driver::claim, driver::ClaimOne => Option<driver::Claim>,
        "Takes a waiting generation with a lease, or null.";
    "driver:append": Mutation System driver::append, driver::Append => u64,
        "The driver begins: nobody else may begin again.";
    "driver:renew": Mutation System driver::renew, driver::Held => bool,
        "Makes the lease longer; false if it is lost.";
    "driver:watch": Query System driver::watch, driver::Watch => Option<driver::Watched>,
        "What a driver must know while it works.";
    "driver:draft": Mutation System driver::draft, driver::Draft => driver::Drafted,
        "A piece of a document that a model is still writing.";
    "driver:submit": Mutation System driver::submit, driver::Submit => driver::Standing,
        "A step of the model ended with calls of tools: they are rows now.";
    "driver:runCall": Mutation System driver::run_call, driver::OneCall => bool,
        "A call begins; false if it is not to run.";
    "driver:runBuiltIn": Mutation System driver::run_built_in, driver::OneCall => driver::Standing,
        "Runs a tool of the server itself, and ends its call.";
    "driver:endCall": Mutation System driver::end_call, driver::EndCall => driver::Standing,
        "A call ended. The first end counts.";
    "driver:settle": Mutation System driver::settle, driver::Settle => driver::Standing,
        "Tells of decisions, and lets an answer go that can only wait for people.";
    "driver:steer": Mutation System driver::steer, driver::Steer => driver::Steered,
        "Takes the messages that the answer is to read before its next step.";
    "driver:fallBack": Mutation System driver::fall_back, driver::FallBack => (),
        "Notes that a model failed and another is asked.";
    "driver:finish": Mutation System driver::finish, driver::Finish => external::Finished,
        "The log becomes the message, is sealed, and the thread is free.";
    "driver:expire": Mutation System driver::expire, driver::Expire => driver::Expired,
        "Ends or queues again the generations whose driver is gone.";
    "driver:nextExpiry": Query System driver::next_expiry, Nothing => Option<u64>,
        "When the next lease is over.";

    "streams:readUrl": Mutation User streams::urls::read_url, streams::urls::ReadUrl => streams::urls::SignedUrl,
        "A signed URL that reads one durable stream, or one answer, until it expires.";
    "streams:create": Mutation System streams::create::create, streams::create::Create => streams::create::Created,
        "Makes a durable stream or a fork of one; the same again changes nothing.";
    "streams:append": Mutation System streams::append::append, streams::append::Append => streams::append::Appended,
        "Appends to a durable stream, closes it, or both.";
    "streams:meta": Query System streams::read::stat, streams::Named => streams::Meta,
        "What a durable stream is and where it ends.";
    "streams:read": Query System streams::read::read, streams::read::Read => streams::read::Page,
        "A page of a durable stream's data.";
    "streams:touch": Mutation System streams::read::touch, streams::Named => (),
        "Notes that a durable stream was read: its time to live begins anew.";
    "streams:delete": Mutation System streams::delete::delete, streams::Named => (),
        "Removes a durable stream; what its forks read stays until they are gone.";
    "streams:nextDeadline": Query System streams::delete::next_deadline, Nothing => Option<u64>,
        "When the next durable stream is over.";
    "streams:sweep": Mutation System streams::delete::sweep, streams::delete::Sweep => crate::functions::Deleted,
        "Removes durable streams that are over.";
    "subscriptions:create": Mutation System subscriptions::create, subscriptions::Create => subscriptions::Created,
        "Makes a subscription to durable streams; the same again changes nothing.";
    "subscriptions:get": Query System subscriptions::get, subscriptions::Named => subscriptions::View,
        "A subscription and how far each of its streams is acknowledged.";
    "subscriptions:remove": Mutation System subscriptions::remove, subscriptions::Named => (),
        "Ends a subscription.";
    "subscriptions:link": Mutation System subscriptions::links::link, subscriptions::links::LinkMany => (),
        "Adds streams to a subscription.";
    "subscriptions:unlink": Mutation System subscriptions::links::unlink, subscriptions::links::UnlinkOne => (),
        "Takes a named stream out of a subscription.";
    "subscriptions:claim": Mutation System subscriptions::wakes::claim, subscriptions::wakes::Claim => subscriptions::wakes::Held,
        "A worker takes the wake of a subscription for one lease.";
    "subscriptions:settle": Mutation System subscriptions::settle::settle, subscriptions::settle::Settle => subscriptions::settle::Settled,
        "The holder of a wake acknowledges streams, renews its lease, or ends the wake.";
    "subscriptions:nextDue": Query System subscriptions::wakes::next_due, Nothing => Option<u64>,
        "When the next lease of a wake is over.";
    "subscriptions:advance": Mutation System subscriptions::wakes::advance, Nothing => bool,
        "Ends one wake whose lease ran out; false if there is none.";
    "subscriptions:nextDelivery": Query System subscriptions::wakes::next_delivery, subscriptions::wakes::Except => Option<u64>,
        "When the next wake is to be delivered.";
    "subscriptions:deliver": Mutation System subscriptions::wakes::deliver, subscriptions::wakes::Except => Option<subscriptions::wakes::Held>,
        "Hands out one wake that is to be delivered now, for one lease.";
    "subscriptions:delivered": Mutation System subscriptions::wakes::delivered, subscriptions::wakes::Delivered => (),
        "How a delivery went.";

    "logs:due": Query System logs::due, Nothing => bool,
        "Whether the log of an answer that is over waits to be removed or compacted.";
    "logs:tend": Mutation System logs::tend, logs::Tend => crate::functions::Deleted,
        "Removes logs after their time and compacts others, in bounded steps.";
    "remains:waiting": Query System remains::waiting, Nothing => bool,
        "Whether data of removed things waits for the sweep.";
    "remains:sweep": Mutation System remains::sweep, remains::Sweep => crate::functions::Deleted,
        "Removes data of removed things, in bounded steps.";

    "doctor:check": Query System doctor::run, doctor::Check => doctor::Report,
        "Checks the invariants of one batch of rows.";
];

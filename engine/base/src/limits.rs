//! Every limit that is not a configuration key, in one place. Sizes are bytes unless the name says
//! otherwise.

use std::time::Duration;

// Identity. Lengths of text are bytes of UTF-8.
pub const DEVICE_ID_MIN: usize = 10;
pub const DEVICE_ID_MAX: usize = 128;
pub const CUSTOM_ID_MIN: usize = 6;
pub const CUSTOM_ID_MAX: usize = 128;
pub const EMAIL_MIN: usize = 10;
pub const EMAIL_MAX: usize = 255;
pub const PASSWORD_MIN: usize = 8;
pub const PASSWORD_MAX: usize = 72;
/// A player's id at a provider.
pub const PROVIDER_ID_MAX: usize = 128;
pub const USERNAME_MAX: usize = 128;
/// Devices of one account; over it, code 8. An account and what leads to it go in one batch.
pub const DEVICES_MAX: usize = 64;
/// Values of an account, in characters.
pub const DISPLAY_NAME_MAX: usize = 255;
pub const AVATAR_URL_MAX: usize = 512;
pub const LANG_TAG_MAX: usize = 18;
pub const LOCATION_MAX: usize = 255;
pub const TIMEZONE_MAX: usize = 255;
/// Entries of the `vars` of one token, and bytes of one name or value: they travel in every
/// request.
pub const VARS_MAX: usize = 64;
pub const VAR_TEXT_MAX: usize = 1024;
/// Ids and names of one users request.
pub const USERS_PER_REQUEST_MAX: usize = 1000;
/// Tokens that a user can have logged out one by one before they expire; over it, code 8.
pub const REVOKED_TOKENS_MAX: usize = 256;
/// Seconds by which the wall clock may be set back without reviving a token that was logged out.
pub const CLOCK_SLACK: u64 = 3600;
/// Verified tokens that a shard remembers, and the longest that it does.
pub const VERIFIED_TOKENS_MAX: usize = 8192;
pub const VERIFIED_TOKEN_SIZE_MAX: usize = 1024;
/// Longest life of a token that can be configured: 100 years, in seconds.
pub const TOKEN_LIFE_MAX: u64 = 100 * 365 * 24 * 3600;
/// Passwords that wait to be compared, and new ones that wait to be hashed, of all shards; over it,
/// code 8.
pub const PASSWORDS_MAX: usize = 128;
/// For how long a shard takes that queue to be full once it has found it so. About as long as one
/// password takes: all others wait meanwhile, and no processor rests for want of one.
pub const PASSWORDS_FULL: Duration = Duration::from_millis(20);
/// Accounts of one ban; over it, code 3.
pub const USERS_PER_BAN_MAX: usize = 256;
/// How often an edit of an account is planned again when another one was faster.
pub const EDIT_TRIES_MAX: u32 = 8;
/// What a client names the server that a token is for.
pub const AUDIENCE_MAX: usize = 255;
/// Draws of a random username before account creation gives up.
pub const USERNAME_DRAWS_MAX: u32 = 8;

// Operators. Lengths are bytes of UTF-8.
pub const OPERATOR_NAME_MIN: usize = 3;
pub const OPERATOR_NAME_MAX: usize = 64;
pub const OPERATOR_PASSWORD_MIN: usize = 12;
pub const OPERATOR_PASSWORD_MAX: usize = 128;
/// Operators' passwords that wait, of all shards; over it, code 8.
pub const OPERATOR_PASSWORDS_MAX: usize = 16;
/// All operators together; over it, code 8.
pub const OPERATORS_MAX: usize = 256;
/// Failed sign-ins of one operator, and of one address, before they are locked out for a while.
pub const OPERATOR_FAILURES_MAX: u32 = 5;
pub const OPERATOR_LOCKED: Duration = Duration::from_secs(60);
pub const ADDRESS_FAILURES_MAX: u32 = 10;
pub const ADDRESS_LOCKED: Duration = Duration::from_secs(600);
/// Addresses whose failures are remembered; over it the oldest is forgotten.
pub const FAILURES_REMEMBERED_MAX: usize = 4096;
/// Entries of the audit trail in one page, and entries that one request looks at.
pub const AUDIT_PAGE_MAX: usize = 100;
pub const AUDIT_PAGE_DEFAULT: usize = 20;
pub const AUDIT_LOOKED_AT_MAX: u64 = 512;
/// Name of a backup's folder.
pub const BACKUP_NAME_MAX: usize = 64;
/// Reports that wait for the thread that writes them, such as `/metrics`; over it, code 8.
pub const REPORTS_MAX: usize = 64;

// Realtime.
/// Open sockets of one user; over it a new one is closed.
pub const SESSIONS_PER_USER_MAX: usize = 128;
pub const STATUS_MAX: usize = 2048;
/// Users that one socket follows; over it, error 3.
pub const FOLLOWS_MAX: usize = 1000;
/// Matches that one session can be in at a time; over it, error 3.
pub const MATCHES_PER_SESSION_MAX: usize = 64;
/// Members of one relayed match; over it a join is refused with error 5.
pub const MATCH_PRESENCES_MAX: usize = 1024;
/// Name of a match.
pub const MATCH_NAME_MAX: usize = 1024;
/// Parties that one session is in, or asks to be let into, at a time; over it, error 3.
pub const PARTIES_PER_SESSION_MAX: usize = 64;
/// Members of one party, as many as in Nakama.
pub const PARTY_SIZE_MAX: usize = 256;
pub const PARTY_LABEL_MAX: usize = 2048;
/// Parties of one page.
pub const PARTY_PAGE_MAX: usize = 100;
pub const PARTY_PAGE_DEFAULT: usize = 10;
/// Envelopes of one session that wait for an earlier one; over it the connection is read no
/// further.
pub const SESSION_QUEUE_MAX: usize = 64;
/// Bytes of those envelopes. What a connection had read before it heard of the pause still comes;
/// over this the session is closed.
pub const SESSION_QUEUE_BYTES_MAX: usize = 512 * 1024;

// Matchmaker.
/// Players of one ticket's `max_count`; over it, error 3.
pub const MATCHMAKER_COUNT_MAX: u32 = 1024;
pub const MATCHMAKER_QUERY_MAX: usize = 2048;
pub const QUERY_CLAUSES_MAX: usize = 128;
/// Memory of all compiled patterns of one query, in equal shares; and of what they remember of
/// texts that they were matched with.
pub const QUERY_PATTERNS_SIZE_MAX: usize = 256 * 1024;
/// Size of a boost, far from where sums of squares end being finite.
pub const QUERY_BOOST_MAX: f64 = 1e100;
/// What one player of a full match is told: all players with their properties. A ticket whose
/// properties and `max_count` could lead there is refused with error 3.
pub const MATCHED_BYTES_MAX: usize = 512 * 1024;
/// Tickets of one page of the operators' list.
pub const TICKETS_PAGE_MAX: usize = 100;
pub const TICKETS_PAGE_DEFAULT: usize = 20;
/// Declared queues, of configuration and operators together; over it, code 8.
pub const QUEUES_MAX: usize = 64;
/// Definition of a queue, as JSON with every default written out; over it, code 3.
pub const QUEUE_DEFINITION_MAX: usize = 16 * 1024;
/// All definitions that operators wrote; over it, code 8. They are one record, and go into one
/// batch.
pub const QUEUE_DEFINITIONS_MAX: usize = 512 * 1024;
const _: () = assert!(QUEUE_DEFINITIONS_MAX + 2 * QUEUE_DEFINITION_MAX < BATCH_BYTES_MAX);
/// What is said of a definition that is wrong.
pub const QUEUE_PROBLEMS_MAX: usize = 2048;
/// Properties of one ticket.
pub const MATCHMAKER_PROPERTIES_MAX: usize = 64;
/// Waiting tickets of one pool; over it, error 0.
pub const MATCHMAKER_TICKETS_MAX: usize = 2_000_000;

// Results and ratings.
/// Id of a match in its result.
pub const RESULT_MATCH_ID_MAX: usize = 128;
/// Name of a team, and the teams and players of a result; a queue's matches have no more.
pub const RESULT_TEAM_NAME_MAX: usize = 64;
pub const RESULT_TEAMS_MAX: usize = 16;
pub const RESULT_PLAYERS_MAX: usize = 64;
/// Queues in which a player has a rating; over it, the one that was played longest ago goes.
pub const RATED_QUEUES_MAX: usize = 64;
/// Matches in a player's history; the oldest go.
pub const HISTORY_MAX: u64 = 100;
pub const HISTORY_PAGE_MAX: usize = 100;
pub const HISTORY_PAGE_DEFAULT: usize = 20;
// All ratings of all players, their matches, and the result, are one batch.
const _: () = assert!(RESULT_PLAYERS_MAX * (RATED_QUEUES_MAX * 128 + 1024) < BATCH_BYTES_MAX);
/// How often a result, or a ticket, is tried again when its players have changed meanwhile.
pub const RATING_TRIES_MAX: u32 = 16;

// Leaderboards and tournaments.
/// Boards whose home is one shard; over it, code 8.
pub const BOARDS_MAX: usize = 100_000;
/// Id of a board, as in Nakama.
pub const BOARD_ID_MAX: usize = 128;
/// Metadata of a board, and of a record; over it, code 3.
pub const BOARD_METADATA_MAX: usize = 16 * 1024;
pub const TOURNAMENT_TITLE_MAX: usize = 255;
pub const TOURNAMENT_DESCRIPTION_MAX: usize = 2048;
pub const TOURNAMENT_CATEGORY_MAX: u8 = 127;
/// Records of one page, and around an owner or of a tournament.
pub const RECORDS_PAGE_MAX: usize = 1000;
pub const RECORDS_SHORT_PAGE_MAX: usize = 100;
/// Owners of one list of records; over it, code 3.
pub const RECORD_OWNERS_MAX: usize = 100;
pub const TOURNAMENTS_PAGE_MAX: usize = 100;
/// Boards of one page of the operators' list, and of one declaration.
pub const BOARDS_PAGE_MAX: usize = 100;
pub const BOARDS_DECLARED_MAX: usize = 1000;
/// Entries of `[[leaderboards]]`, and of `[[tournaments]]`.
pub const BOARDS_CONFIGURED_MAX: usize = 1000;
/// Definitions that a shard reads at a time when it starts.
pub const BOARDS_READ_AT_ONCE: usize = 64;
/// Places of one block of ranks: about what one read of a disk brings, and what a move inside
/// a list is still cheap for.
pub const RANK_BLOCK_MAX: u32 = 512;
/// Blocks of one period, a hundred million records at least.
pub const RANK_BLOCKS_MAX: usize = 1 << 20;
/// Memory that a shard spends on places; over it, those of blocks that nobody asks for go.
pub const RANKS_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// Bytes of the scores of one page that is kept in memory, encoded.
pub const FIRST_PAGE_BYTES_MAX: usize = 64 * 1024;
/// Periods of one board whose ranks are in memory.
pub const PERIODS_CACHED_MAX: usize = 16;
/// Events of boards that wait to be told, on each shard; over it, new ones are not.
pub const BOARD_EVENTS_MAX: usize = 10_000;
/// Of them, so many are being told at a time.
pub const BOARD_EVENTS_AT_ONCE: usize = 16;
/// Rows of a deleted board that go in one batch.
pub const BOARD_ROWS_DELETED_AT_ONCE: usize = 512;
/// Records of a deleted account that go in one batch, and rows that are looked at at a time.
pub const RECORDS_FORGOTTEN_AT_ONCE: usize = 256;
pub const OWNED_READ_AT_ONCE: usize = 256;
/// Text of a CRON expression, with its time zone.
pub const SCHEDULE_MAX: usize = 128;

// Storage objects.
/// Names of a collection and of a key, in characters.
pub const OBJECT_NAME_MAX: usize = 128;
/// Objects of one request; over it, code 3.
pub const OBJECTS_MAX: usize = 1000;
/// What one request writes, lists included; over it, code 8.
pub const OBJECTS_BYTES_MAX: usize = 768 * 1024;
const _: () = assert!(OBJECTS_BYTES_MAX < BATCH_BYTES_MAX);
/// Objects of one page, and bytes of their values: a page ends where they are reached, and a read
/// of more is refused with code 8.
pub const OBJECTS_PAGE_MAX: usize = 100;
pub const OBJECTS_PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Rows of a collection that one question about a page looks at, and how often its homes are asked
/// again until there is enough for a page. A page may be short, even empty, and have a next one.
pub const OBJECTS_LOOKED_AT_MAX: usize = 1000;
pub const OBJECTS_ROUNDS_MAX: u32 = 16;
/// Objects that one step of an erasure deletes, each of them three rows.
pub const OBJECTS_ERASED_MAX: usize = 200;
const _: () = assert!(OBJECTS_ERASED_MAX * 3 * (8 * OBJECT_NAME_MAX + 64) < BATCH_BYTES_MAX);
/// Bytes of all objects and entries of one account's export; over it, code 8.
pub const EXPORT_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Erasures that one question lists, and those that a shard works at a time.
pub const ERASURES_PAGE_MAX: usize = 256;
/// When an erasure goes on that the disk, or a shard, had no room for.
pub const ERASURE_RETRY: Duration = Duration::from_secs(5);

// Wallets.
/// Name of an amount, and names of one wallet or one update.
pub const WALLET_NAME_MAX: usize = 128;
pub const WALLET_NAMES_MAX: usize = 256;
/// What an update says of itself.
pub const WALLET_METADATA_MAX: usize = 64 * 1024;
/// Wallets that one request updates, and users that it concerns.
pub const WALLET_UPDATES_MAX: usize = 256;
pub const BELONGINGS_USERS_MAX: usize = 256;
/// Entries of one page of a ledger, and those that one step of an erasure deletes.
pub const LEDGER_PAGE_MAX: usize = 100;
pub const LEDGER_ERASED_MAX: usize = 256;

// The core and its queues.
/// Changes of one handle, encoded.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Requests of one shard that wait for something: a key to load, another shard, a hold.
pub const TASKS_MAX: usize = 65_536;
/// Commands that wait for one held entity; over it, code 8.
pub const HOLD_QUEUE_MAX: usize = 64;
/// The same of what operators ask, whose changes all meet in one place.
pub const OPERATOR_QUEUE_MAX: usize = 1024;
/// Outputs of one shard that wait for the disk; over it new requests are answered with code 8. A
/// request that waits has two: its reply, and that it is over.
pub const HELD_OUTPUTS_MAX: usize = 131_072;
/// How long a coordinator waits for its participants, and a dispatched request for its answer.
pub const TASK_DEADLINE: Duration = Duration::from_secs(10);
/// Addresses and users that a shard counts requests of at a time; over it new ones are not
/// counted.
pub const RATE_ENTRIES_MAX: usize = 65_536;
/// Undurable batches of one shard; over it writes are refused with code 8.
pub const UNDURABLE_BATCHES_MAX: usize = 16_384;
/// Records that a shard keeps in memory; what is not applied yet may go over it.
pub const CACHE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// By how much it may; over it writes are refused with code 8.
pub const OVERLAY_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of the rows that answer one scan: more of its range are another scan.
pub const SCAN_BYTES_MAX: usize = 256 * 1024;
/// Scans that a shard has asked for, or whose rows it keeps for a question; over it, code 8.
pub const SCANS_MAX: usize = 1024;
/// Messages waiting in one mailbox, from one core to another.
pub const MAILBOX_MAX: usize = 65_536;
/// Open connections of one core; over it new ones are closed at once.
pub const CONNECTIONS_MAX: usize = 65_536;
/// Open connections of operators, beside those of clients.
pub const OPERATOR_CONNECTIONS_MAX: usize = 64;

// HTTP.
/// Request line and header fields; over it, 431.
pub const HTTP_HEAD_MAX: usize = 5120 + 4096;
pub const HTTP_HEADERS_MAX: usize = 128;
/// Nesting of JSON; deeper text is malformed.
pub const JSON_DEPTH_MAX: usize = 127;

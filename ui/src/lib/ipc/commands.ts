/**
 * Every command of the shell: what it takes and what it answers. Names and arguments are the engine's own
 * (`crates/engine`), so a command is one line here and one in `src-tauri`.
 */
import type { AttachReport } from './generated/AttachReport';
import type { Availability } from './generated/Availability';
import type { AvailabilityRequest } from './generated/AvailabilityRequest';
import type { BackupPage } from './generated/BackupPage';
import type { BackupView } from './generated/BackupView';
import type { ChannelInput } from './generated/ChannelInput';
import type { ChannelReport } from './generated/ChannelReport';
import type { ChannelView } from './generated/ChannelView';
import type { CheckRule } from './generated/CheckRule';
import type { ConnectionInput } from './generated/ConnectionInput';
import type { DatabasePage } from './generated/DatabasePage';
import type { DestinationChange } from './generated/DestinationChange';
import type { DestinationInput } from './generated/DestinationInput';
import type { DestinationReport } from './generated/DestinationReport';
import type { DestinationView } from './generated/DestinationView';
import type { DriveOffer } from './generated/DriveOffer';
import type { DriveSignedIn } from './generated/DriveSignedIn';
import type { DriveSignInPage } from './generated/DriveSignInPage';
import type { DriveSignInRequest } from './generated/DriveSignInRequest';
import type { Environment } from './generated/Environment';
import type { ExportRequest } from './generated/ExportRequest';
import type { ExportView } from './generated/ExportView';
import type { HealthView } from './generated/HealthView';
import type { ImportReport } from './generated/ImportReport';
import type { InstanceView } from './generated/InstanceView';
import type { KeyringState } from './generated/KeyringState';
import type { KeyView } from './generated/KeyView';
import type { KitReport } from './generated/KitReport';
import type { NotificationsPage } from './generated/NotificationsPage';
import type { MaintenanceView } from './generated/MaintenanceView';
import type { Overview } from './generated/Overview';
import type { ParsedConnection } from './generated/ParsedConnection';
import type { Plan } from './generated/Plan';
import type { PlanDraft } from './generated/PlanDraft';
import type { PlanProposal } from './generated/PlanProposal';
import type { Preflight } from './generated/Preflight';
import type { PrunePreview } from './generated/PrunePreview';
import type { ReplacementView } from './generated/ReplacementView';
import type { RestoreWish } from './generated/RestoreWish';
import type { RetentionQuestion } from './generated/RetentionQuestion';
import type { RowsPage } from './generated/RowsPage';
import type { RowsRequest } from './generated/RowsRequest';
import type { RunPage } from './generated/RunPage';
import type { RunView } from './generated/RunView';
import type { SavedTable } from './generated/SavedTable';
import type { SaveTableRequest } from './generated/SaveTableRequest';
import type { ScheduleQuestion } from './generated/ScheduleQuestion';
import type { SchedulerView } from './generated/SchedulerView';
import type { ServerChange } from './generated/ServerChange';
import type { ServerView } from './generated/ServerView';
import type { Settings } from './generated/Settings';
import type { SettingsPage } from './generated/SettingsPage';
import type { StoredExport } from './generated/StoredExport';
import type { TelegramChat } from './generated/TelegramChat';
import type { TestReport } from './generated/TestReport';
import type { TestRequest } from './generated/TestRequest';
import type { ValueRequest } from './generated/ValueRequest';
import type { ValueView } from './generated/ValueView';
import type { WebhookAddress } from './generated/WebhookAddress';
import type { WebhookPreview } from './generated/WebhookPreview';
import type { WatchPage } from './generated/WatchPage';

type None = Record<string, never>;

export interface Commands {
  overview: { args: None; answer: Overview };
  database_page: { args: { id: string }; answer: DatabasePage };
  backup_page: { args: { id: string }; answer: BackupPage };
  run_page: { args: { id: string }; answer: RunPage };
  list_backups: { args: { database_id: string | null }; answer: BackupView[] };
  list_runs: { args: { limit: number }; answer: RunView[] };
  settings_page: { args: None; answer: SettingsPage };
  save_settings: { args: { settings: Settings }; answer: unknown };
  parse_connection: { args: { text: string }; answer: ParsedConnection };
  test_connection: { args: { request: TestRequest }; answer: TestReport };
  cancel_test: { args: { test_id: string }; answer: unknown };
  /** Accepts the key of an SSH server: `line` is the details of the failure that showed it. */
  accept_host_key: { args: { line: string }; answer: unknown };
  add_server: {
    args: { input: ConnectionInput; name: string; environment: Environment };
    answer: ServerView;
  };
  change_server: { args: { id: string; change: ServerChange }; answer: unknown };
  remove_server: { args: { id: string }; answer: unknown };
  propose_plan: { args: { server_id: string; database: string }; answer: PlanProposal };
  next_runs: { args: { question: ScheduleQuestion }; answer: string[] };
  save_plan: { args: { plan: PlanDraft }; answer: Plan };
  remove_plan: { args: { id: string }; answer: unknown };
  back_up_now: { args: { database_id: string }; answer: string[] };
  cancel_run: { args: { id: string }; answer: unknown };
  verify_backup: { args: { id: string }; answer: string };
  /** Makes a copy at another destination; answers the run. */
  copy_to: { args: { id: string; destination: string }; answer: string };
  delete_copy: { args: { id: string; destination: string; even_the_last: boolean }; answer: string };
  pin_backup: { args: { id: string; pinned: boolean }; answer: unknown };
  preview_retention: { args: { question: RetentionQuestion }; answer: PrunePreview };
  list_destinations: { args: None; answer: DestinationView[] };
  test_destination: { args: { input: DestinationInput }; answer: DestinationReport };
  add_destination: { args: { input: DestinationInput }; answer: DestinationView };
  change_destination: { args: { id: string; change: DestinationChange }; answer: DestinationView };
  remove_destination: { args: { id: string }; answer: unknown };
  /** Looks at everything that lies at a destination, and lists it. */
  attach: { args: { id: string }; answer: AttachReport };
  drive_offer: { args: None; answer: DriveOffer };
  /** Opens the browser too. */
  begin_drive_sign_in: { args: { request: DriveSignInRequest }; answer: DriveSignInPage };
  /** Waits for the person in the browser. */
  finish_drive_sign_in: { args: { id: string }; answer: DriveSignedIn };
  cancel_drive_sign_in: { args: { id: string }; answer: unknown };
  /** Asks for a file. `null` where none was chosen. */
  export_settings: { args: { title: string; request: ExportRequest }; answer: string | null };
  read_export: { args: { title: string; passphrase: string | null }; answer: ExportView | null };
  /** The settings of machines that lie at a destination, the newest of each. */
  stored_exports: { args: { id: string }; answer: StoredExport[] };
  read_stored_export: { args: { id: string; path: string }; answer: ExportView };
  import_settings: { args: { id: string }; answer: ImportReport };
  list_instances: { args: None; answer: InstanceView[] };
  start_instance: { args: { id: string }; answer: InstanceView };
  stop_instance: { args: { id: string }; answer: InstanceView };
  rename_instance: { args: { id: string; name: string }; answer: InstanceView };
  delete_instance: { args: { id: string }; answer: unknown };
  /** Puts the URL with its password on the clipboard, or the psql command: neither comes here. */
  copy_instance_url: { args: { id: string; psql: boolean }; answer: unknown };
  open_instance: { args: { id: string }; answer: unknown };
  /** Begins a restore; answers the run. */
  restore_backup: { args: { wish: RestoreWish }; answer: string };
  /** Looks whether a restore would work, and changes nothing. */
  preflight: { args: { wish: RestoreWish }; answer: Preflight };
  list_replacements: { args: None; answer: ReplacementView[] };
  /** Gives a replaced database its name back; answers the restored one's. */
  put_back: { args: { id: string }; answer: string };
  drop_kept: { args: { id: string }; answer: unknown };
  /** Begins a drill; answers the run. */
  drill_backup: { args: { id: string }; answer: string };
  /** Asks for a file. `null` where none was chosen. */
  save_drill_report: { args: { id: string; title: string }; answer: string | null };
  /** Rows of a table in a backup. Answers in a moment, found or not; `next` says where to go on. */
  rows: { args: { request: RowsRequest }; answer: RowsPage };
  row_value: { args: { request: ValueRequest }; answer: ValueView };
  cancel_look: { args: { look_id: string }; answer: unknown };
  /** Asks for a file, and writes the table there. `null` where none was chosen. */
  save_table: { args: { title: string; request: SaveTableRequest }; answer: SavedTable | null };
  /** A database's availability beside a stretch: how it stands, its uptimes, its maintenance windows. */
  watch_page: { args: { id: string }; answer: WatchPage };
  /** A stretch of it, in buckets: at most as many as there are pixels. */
  availability: { args: { request: AvailabilityRequest }; answer: Availability };
  check_now: { args: { id: string }; answer: HealthView };
  save_check_rule: { args: { id: string; rule: CheckRule }; answer: unknown };
  /** Checks once by a rule that is not saved. */
  try_check: { args: { id: string; rule: CheckRule }; answer: HealthView };
  /** Nobody is told of it until then; `null` ends that. */
  mute: { args: { id: string; until: string | null }; answer: unknown };
  save_maintenance: { args: { window: MaintenanceView }; answer: MaintenanceView };
  remove_maintenance: { args: { id: string }; answer: unknown };
  /** An empty note removes it. */
  note_incident: { args: { id: string; note: string }; answer: unknown };
  acknowledge_incident: { args: { id: string }; answer: unknown };
  /** Asks for a file, and writes the checks there as CSV. `null` where none was chosen. */
  export_checks: { args: { id: string; from: string; to: string; title: string }; answer: string | null };
  own_key: { args: None; answer: KeyView };
  list_keys: { args: None; answer: KeyView[] };
  /** Asks for a file; its text never comes here. `null` where none was chosen. */
  save_kit: { args: { title: string }; answer: string | null };
  test_kit: { args: { title: string }; answer: KitReport | null };
  import_kit: { args: { title: string }; answer: KitReport | null };
  scheduler: { args: None; answer: SchedulerView };
  pause: { args: { until: string | null }; answer: unknown };
  unlock_keyring: { args: None; answer: KeyringState };
  /** The desktop's own dialog; `null` where nothing was chosen. `typed` is where it begins. */
  choose_folder: { args: { title: string; typed: string }; answer: string | null };
  choose_file: { args: { title: string; typed: string }; answer: string | null };
  open_folder: { args: { path: string }; answer: unknown };
  notifications_page: { args: None; answer: NotificationsPage };
  /** Sends a message right now, with what is kept where nothing is typed. A message that is not taken is an answer, no failure. */
  test_channel: { args: { input: ChannelInput }; answer: ChannelReport };
  /** Adds the channel where its id is `null`. */
  save_channel: { args: { input: ChannelInput }; answer: ChannelView };
  remove_channel: { args: { id: string }; answer: unknown };
  /** The chats in which somebody wrote to the bot lately. The address may lack its chat. */
  find_telegram_chats: { args: { input: ChannelInput }; answer: TelegramChat[] };
  preview_webhook: { args: { address: WebhookAddress }; answer: WebhookPreview };
  /** Somebody knows of it: it is not told again. */
  acknowledge_alert: { args: { id: string }; answer: unknown };
  /** Tries a channel's waiting and failed messages now. */
  retry_deliveries: { args: { id: string }; answer: unknown };
  /** Opens the browser, at one of the pages that `features/notifications/links.ts` lists and at no other. */
  open_link: { args: { url: string }; answer: unknown };
  hide_window: { args: None; answer: unknown };
}

export type CommandName = keyof Commands;

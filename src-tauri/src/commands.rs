//! What the window may ask: each command is a few lines over a method of the engine of the same name. Errors cross as
//! [`howdah_domain::Failure`].

mod backups;
mod destinations;
mod drive;
mod export;
mod inside;
mod instances;
mod keys;
mod notifications;
mod pages;
mod plans;
mod runs;
mod servers;
mod settings;
mod shell;
mod watch;

/// Every command, for the window's builder.
pub(crate) fn all() -> impl Fn(tauri::ipc::Invoke) -> bool + Send + Sync + 'static {
    tauri::generate_handler![
        pages::overview,
        pages::database_page,
        pages::backup_page,
        pages::run_page,
        pages::list_backups,
        pages::list_runs,
        backups::copy_to,
        backups::delete_copy,
        backups::pin_backup,
        backups::preview_retention,
        destinations::list_destinations,
        destinations::test_destination,
        destinations::add_destination,
        destinations::change_destination,
        destinations::remove_destination,
        destinations::attach,
        drive::drive_offer,
        drive::begin_drive_sign_in,
        drive::finish_drive_sign_in,
        drive::cancel_drive_sign_in,
        export::export_settings,
        export::read_export,
        export::stored_exports,
        export::read_stored_export,
        export::import_settings,
        instances::list_instances,
        instances::start_instance,
        instances::stop_instance,
        instances::rename_instance,
        instances::delete_instance,
        instances::copy_instance_url,
        instances::open_instance,
        instances::restore_backup,
        instances::preflight,
        instances::list_replacements,
        instances::put_back,
        instances::drop_kept,
        instances::drill_backup,
        instances::save_drill_report,
        inside::rows,
        inside::row_value,
        inside::cancel_look,
        inside::save_table,
        keys::own_key,
        keys::list_keys,
        keys::save_kit,
        keys::test_kit,
        keys::import_kit,
        notifications::notifications_page,
        notifications::test_channel,
        notifications::save_channel,
        notifications::remove_channel,
        notifications::find_telegram_chats,
        notifications::preview_webhook,
        notifications::acknowledge_alert,
        notifications::retry_deliveries,
        notifications::open_link,
        watch::watch_page,
        watch::availability,
        watch::check_now,
        watch::try_check,
        watch::save_check_rule,
        watch::mute,
        watch::save_maintenance,
        watch::remove_maintenance,
        watch::note_incident,
        watch::acknowledge_incident,
        watch::export_checks,
        servers::parse_connection,
        servers::test_connection,
        servers::cancel_test,
        servers::accept_host_key,
        servers::add_server,
        servers::change_server,
        servers::remove_server,
        plans::propose_plan,
        plans::next_runs,
        plans::save_plan,
        plans::remove_plan,
        runs::back_up_now,
        runs::cancel_run,
        runs::verify_backup,
        runs::scheduler,
        runs::pause,
        settings::settings_page,
        settings::save_settings,
        settings::unlock_keyring,
        shell::choose_folder,
        shell::choose_file,
        shell::open_folder,
        shell::hide_window,
    ]
}

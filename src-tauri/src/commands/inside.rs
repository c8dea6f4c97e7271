//! Looking into a backup's tables.

use std::path::PathBuf;

use howdah_domain::Failure;
use howdah_engine::api::{RowsPage, RowsRequest, SaveTableRequest, SavedTable, ValueRequest, ValueView};
use tauri::{State, WebviewWindow};

use crate::desk::Desk;
use crate::files::tame_name;
use crate::picker::{self, Wanted};

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn rows(desk: State<'_, Desk>, request: RowsRequest) -> Result<RowsPage, Failure> {
    desk.engine().await?.rows(request).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn row_value(desk: State<'_, Desk>, request: ValueRequest) -> Result<ValueView, Failure> {
    desk.engine().await?.row_value(request).await
}

#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn cancel_look(desk: State<'_, Desk>, look_id: String) -> Result<(), Failure> {
    desk.engine().await?.cancel_look(&look_id);
    Ok(())
}

/// Asks where to, and writes the table there. `None` where no file was chosen.
#[tauri::command(rename_all = "snake_case")]
pub(crate) async fn save_table(
    window: WebviewWindow,
    desk: State<'_, Desk>,
    title: String,
    request: SaveTableRequest,
) -> Result<Option<SavedTable>, Failure> {
    let engine = desk.engine().await?;
    let wanted = Wanted::NewFile {
        name: file_name(&request),
    };
    match picker::choose(&window, wanted, title, String::new()).await? {
        Some(path) => engine.save_table(request, PathBuf::from(path)).await.map(Some),
        None => Ok(None),
    }
}

/// `shop.orders.csv`, with nothing in it that a file system or a dialog would take for something else.
fn file_name(request: &SaveTableRequest) -> String {
    let name = format!("{}.{}", request.table.schema, request.table.name);
    format!("{}.{}", tame_name(&name), request.format.extension())
}

#[cfg(test)]
mod tests {
    use howdah_domain::{BackupId, TableName};
    use howdah_engine::api::RowFormat;

    use super::*;

    #[test]
    fn a_file_is_called_as_its_table_whatever_that_is_called() {
        let name = |schema: &str, name: &str| {
            file_name(&SaveTableRequest {
                look_id: String::new(),
                backup_id: BackupId::parse("20261122T040000Z-k3x7qa").unwrap(),
                table: TableName {
                    schema: schema.to_owned(),
                    name: name.to_owned(),
                },
                format: RowFormat::Csv,
            })
        };
        assert_eq!(name("shop", "orders"), "shop.orders.csv");
        assert_eq!(name("..", "../etc/größe:*"), "_etc_größe__.csv");
        assert!(name("s", &"🐘x".repeat(200)).len() < 255);
    }
}

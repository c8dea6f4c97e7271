/** What an export is to hold and who can read it, in a form. */
import type { ExportRequest } from '$lib/ipc';
import { t } from '$lib/messages';

export class ExportForm {
  withSecrets = $state(true);
  by = $state<'passphrase' | 'key'>('passphrase');
  passphrase = $state('');
  repeated = $state('');

  /** What is wrong with the passphrase, as a sentence. */
  readonly missing = $derived.by(() =>
    this.by === 'passphrase' && this.passphrase === '' ? t('export_problem.none') : undefined,
  );
  /** What is wrong with typing it once more. */
  readonly different = $derived.by(() =>
    this.by === 'passphrase' && this.passphrase !== this.repeated ? t('export_problem.different') : undefined,
  );

  readonly request = $derived.by((): ExportRequest | undefined =>
    (this.missing ?? this.different)
      ? undefined
      : { with_secrets: this.withSecrets, passphrase: this.by === 'key' ? null : this.passphrase },
  );

  /** The passphrase has done its work here. */
  forget(): void {
    this.passphrase = '';
    this.repeated = '';
  }
}

/** A place in a form: each field as typed, the place they make, and what is missing. */
import type { BucketStyle, FtpTls, Place, PlaceKind } from '$lib/ipc';
import { t } from '$lib/messages';
import { DriveForm } from '../drive/drive-form.svelte';
import { parsePort } from '../ssh/port';
import { SshForm } from '../ssh/ssh-form.svelte';

/** What the one secret of a place is, where its fields ask for it themselves. */
export type SecretName = 's3' | 'password' | 'azblob' | 'gcs';

export class PlaceForm {
  kind = $state<PlaceKind>('folder');
  /** A folder here, or on the machine over there. */
  path = $state('');
  bucket = $state('');
  prefix = $state('');
  endpoint = $state('');
  region = $state('');
  style = $state<BucketStyle>('auto');
  storageClass = $state('');
  serverSideEncryption = $state('');
  kmsKey = $state('');
  accessKeyId = $state('');
  profile = $state('');
  caFile = $state('');
  host = $state('');
  port = $state('');
  user = $state('');
  url = $state('');
  tls = $state<FtpTls>('explicit');
  account = $state('');
  container = $state('');
  readonly ssh = new SshForm();
  readonly drive: DriveForm;

  constructor(from?: Place) {
    this.drive = new DriveForm(from?.kind === 'drive' ? from : undefined);
    if (from) this.#take(from);
  }

  #take(from: Place): void {
    this.kind = from.kind;
    switch (from.kind) {
      case 'folder':
        this.path = from.path;
        return;
      case 's3':
        this.bucket = from.bucket;
        this.prefix = from.prefix;
        this.endpoint = from.endpoint ?? '';
        this.region = from.region ?? '';
        this.style = from.style;
        this.storageClass = from.storage_class ?? '';
        this.serverSideEncryption = from.server_side_encryption ?? '';
        this.kmsKey = from.kms_key ?? '';
        this.accessKeyId = from.access_key_id ?? '';
        this.profile = from.profile ?? '';
        this.caFile = from.ca_file ?? '';
        return;
      case 'drive':
        return;
      case 'sftp':
        this.ssh.take(from.ssh);
        this.path = from.path;
        return;
      case 'webdav':
        this.url = from.url;
        this.user = from.user ?? '';
        this.caFile = from.ca_file ?? '';
        return;
      case 'ftp':
        this.host = from.host;
        this.port = from.port === null ? '' : String(from.port);
        this.user = from.user ?? '';
        this.path = from.path;
        this.tls = from.tls;
        this.caFile = from.ca_file ?? '';
        return;
      case 'azblob':
        this.account = from.account;
        this.container = from.container;
        this.prefix = from.prefix;
        this.endpoint = from.endpoint ?? '';
        return;
      case 'gcs':
        this.bucket = from.bucket;
        this.prefix = from.prefix;
        this.endpoint = from.endpoint ?? '';
    }
  }

  readonly #portNumber = $derived.by(() => parsePort(this.port));
  readonly wrongPort = $derived.by(() => this.#portNumber === undefined);

  /** What is missing, as a sentence. */
  readonly problem = $derived.by((): string | undefined => {
    const demand = (text: string, problem: string) => (text.trim() === '' ? problem : undefined);
    switch (this.kind) {
      case 'folder':
        return demand(this.path, t('place_problem.path'));
      case 's3':
      case 'gcs':
        return demand(this.bucket, t('place_problem.bucket'));
      case 'drive':
        return this.drive.problem;
      case 'sftp':
        return this.ssh.problem ?? demand(this.path, t('place_problem.remote_path'));
      case 'webdav':
        return /^\s*https?:\/\/\S+\s*$/.test(this.url) ? undefined : t('place_problem.url');
      case 'ftp':
        return (
          demand(this.host, t('place_problem.host')) ?? (this.wrongPort ? t('place_problem.port') : undefined)
        );
      case 'azblob':
        return (
          demand(this.account, t('place_problem.account')) ??
          demand(this.container, t('place_problem.container'))
        );
    }
  });

  readonly place = $derived.by((): Place | undefined => {
    if (this.problem) return undefined;
    const given = (text: string) => text.trim() || null;
    const port = this.#portNumber ?? null;
    switch (this.kind) {
      case 'folder':
        return { kind: 'folder', path: this.path.trim() };
      case 's3':
        return {
          kind: 's3',
          bucket: this.bucket.trim(),
          prefix: this.prefix.trim(),
          endpoint: given(this.endpoint),
          region: given(this.region),
          style: this.style,
          storage_class: given(this.storageClass),
          server_side_encryption: given(this.serverSideEncryption),
          kms_key: given(this.kmsKey),
          access_key_id: given(this.accessKeyId),
          profile: given(this.profile),
          ca_file: given(this.caFile),
        };
      case 'drive':
        return { kind: 'drive', ...this.drive.place };
      case 'sftp':
        return this.ssh.target && { kind: 'sftp', ssh: this.ssh.target, path: this.path.trim() };
      case 'webdav':
        return {
          kind: 'webdav',
          url: this.url.trim(),
          user: given(this.user),
          ca_file: given(this.caFile),
        };
      case 'ftp':
        return {
          kind: 'ftp',
          host: this.host.trim(),
          port,
          user: given(this.user),
          path: this.path.trim(),
          tls: this.tls,
          ca_file: given(this.caFile),
        };
      case 'azblob':
        return {
          kind: 'azblob',
          account: this.account.trim(),
          container: this.container.trim(),
          prefix: this.prefix.trim(),
          endpoint: given(this.endpoint),
        };
      case 'gcs':
        return {
          kind: 'gcs',
          bucket: this.bucket.trim(),
          prefix: this.prefix.trim(),
          endpoint: given(this.endpoint),
        };
    }
  });

  /** Whether there may be a secret that is typed: a sign-in in the browser is none. */
  readonly needsSecret = $derived.by(() =>
    this.kind === 'sftp' ? this.ssh.secret !== undefined : this.secret !== undefined,
  );

  readonly secret = $derived.by((): SecretName | undefined => {
    switch (this.kind) {
      case 'folder':
      case 'drive':
      case 'sftp':
        return undefined;
      case 's3':
        return this.accessKeyId.trim() ? 's3' : undefined;
      case 'webdav':
        return this.user.trim() ? 'password' : undefined;
      case 'ftp':
        return 'password';
      case 'azblob':
        return 'azblob';
      case 'gcs':
        return 'gcs';
    }
  });
}

/** Whether two places are the same one. Whose account it is comes with a sign-in, and makes no other place of it. */
export function samePlace(one: Place, other: Place): boolean {
  const sorted = (place: Place) =>
    JSON.stringify(
      Object.entries(place)
        .filter(([key]) => place.kind !== 'drive' || key !== 'account')
        .sort(([a], [b]) => a.localeCompare(b)),
    );
  return sorted(one) === sorted(other);
}

import { fireEvent, within } from '@testing-library/svelte';
import { beforeEach, describe, expect, test } from 'vitest';
import DatabaseView from '$features/databases/DatabaseView.svelte';
import RunFull from '$features/runs/RunFull.svelte';
import Add from '../src/routes/add/+page.svelte';
import Destinations from '../src/routes/destinations/+page.svelte';
import SettingsPage from '../src/routes/settings/+page.svelte';
import { called, paste, press, screen, settle, show, small, type Shown } from './frame';

const PASTED = 'postgres://howdah:s3cret@10.0.4.7/shop';
const tunnel = () => within(screen.getByRole('group', { name: 'SSH tunnel' }));

async function through(host: string) {
  const ssh = tunnel();
  const toggle = ssh.getByRole<HTMLInputElement>('switch', { name: /Reach it through an SSH server/ });
  if (!toggle.checked) await fireEvent.click(toggle);
  await fireEvent.input(tunnel().getByLabelText('Host or alias'), { target: { value: host } });
  await settle();
}

describe('a database behind an SSH server', () => {
  let shown: Shown;

  beforeEach(async () => {
    shown = await show(Add, {}, { scenario: 'empty', path: '/add' });
  });

  test('is added from a pasted text, with the tunnel and its secret beside it', async () => {
    await paste(PASTED);
    await through('bastion');
    await fireEvent.input(tunnel().getByLabelText(/^Password or passphrase/), { target: { value: 'pass' } });
    await press('Test');
    const list = within(screen.getByRole('list', { name: 'Test' }));
    expect(list.getAllByRole('listitem')[0]?.textContent).toContain('SSH tunnel');
    await press('Start, and back up now');
    expect(called(shown.fixture, 'add_server')).toEqual([
      {
        input: {
          type: 'text',
          text: PASTED,
          password: null,
          tunnel: { host: 'bastion', port: null, user: null, login: { with: 'auto' } },
          ssh_secret: 'pass',
        },
        name: '10.0.4.7',
        environment: 'none',
      },
    ]);
    expect(shown.fixture.world.servers[0]).toMatchObject({ has_ssh_secret: true });
  });

  test('keeps its tunnel when the form takes the text’s place', async () => {
    await paste(PASTED);
    await through('bastion');
    await press('Fill in a form instead');
    expect(tunnel().getByLabelText<HTMLInputElement>('Host or alias').value).toBe('bastion');
    await fireEvent.change(tunnel().getByLabelText('Login'), { target: { value: 'key' } });
    await settle();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Test' }).disabled).toBe(true);
    await fireEvent.input(tunnel().getByLabelText('Private key'), { target: { value: '~/.ssh/id' } });
    await press('Test');
    expect(called(shown.fixture, 'test_connection').at(-1)).toMatchObject({
      request: {
        input: {
          type: 'form',
          connection: { host: '10.0.4.7', tunnel: { login: { with: 'key', file: '~/.ssh/id' } } },
        },
      },
    });
  });

  test('is not tested while its SSH server is not named', async () => {
    await paste(PASTED);
    await fireEvent.click(tunnel().getByRole('switch'));
    await settle();
    expect(screen.getByRole<HTMLButtonElement>('button', { name: 'Test' }).disabled).toBe(true);
  });

  test('forgets its findings when the tunnel is another', async () => {
    await paste(PASTED);
    await press('Test');
    expect(screen.queryByRole('list', { name: 'Test' })).toBeTruthy();
    await through('bastion');
    expect(screen.queryByRole('list', { name: 'Test' })).toBeNull();
  });

  test('shows the fingerprint of an unknown key, and tests again once it is accepted', async () => {
    await paste(PASTED);
    await through('unknown.example.com');
    await press('Test');
    const list = screen.getByRole('list', { name: 'Test' });
    expect(list.textContent).toContain('SHA256:');
    expect(list.textContent).toContain('Compare the fingerprint');
    await press('Accept this key');
    expect(called(shown.fixture, 'accept_host_key')).toEqual([
      { line: expect.stringMatching(/^unknown\.example\.com ssh-ed25519 /) as string },
    ]);
    expect(called(shown.fixture, 'test_connection')).toHaveLength(2);
    expect(screen.getByText('A backup of this database would work.')).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Accept this key' })).toBeNull();
  });

  test('does not offer to accept a key that is another than before', async () => {
    await paste(PASTED);
    await through('changed.example.com');
    await press('Test');
    expect(screen.getByRole('list', { name: 'Test' }).textContent).toContain('another key than before');
    expect(screen.queryByRole('button', { name: 'Accept this key' })).toBeNull();
  });

  test('goes on with its start where the key was accepted only then', async () => {
    await paste(PASTED);
    await press('Test');
    let known = false;
    shown.fixture.overrides.set('accept_host_key', () => (known = true));
    shown.fixture.overrides.set('save_plan', () => {
      if (known) {
        shown.fixture.overrides.delete('save_plan');
        throw { code: 'disk_full', message: 'The disk is full.', hint: null, details: null };
      }
      throw { code: 'host_key_unknown', message: 'A new key.', hint: null, details: 'host key' };
    });
    await press('Start, and back up now');
    await press('Accept this key');
    expect(screen.getByRole('alert').textContent).toContain('The disk is full.');
    expect(called(shown.fixture, 'save_plan')).toHaveLength(2);
  });
});

describe('a server with a tunnel', () => {
  async function edit(fixture = small('reach')) {
    const database = fixture.world.databases.find((each) => each.name === 'ledger');
    await show(DatabaseView, { id: database?.id ?? '' }, { fixture });
    await press('More for ledger');
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Edit the connection' }));
    await settle();
    return { fixture, dialog: within(screen.getByRole('dialog')) };
  }
  const save = () => press('Save the connection');

  test('says so in its row', async () => {
    await show(SettingsPage, {}, { fixture: small('reach'), path: '/settings' });
    expect(screen.getByText('through SSH by ada@bastion.example.com:2222')).toBeTruthy();
  });

  test('keeps what opens it where nothing is typed', async () => {
    const { fixture, dialog } = await edit();
    expect(dialog.getByLabelText<HTMLInputElement>('Passphrase of the key').placeholder).toContain(
      'unchanged',
    );
    await save();
    const [{ change }] = called(fixture, 'change_server') as [{ change: object }];
    expect(change).not.toHaveProperty('ssh_secret');
    expect(change).toMatchObject({ connection: { tunnel: { host: 'bastion.example.com', port: 2222 } } });
  });

  test('is shown why its secret is to be typed again where its login changed', async () => {
    const { fixture, dialog } = await edit();
    await fireEvent.input(dialog.getByLabelText('Host or alias'), { target: { value: 'other.example.com' } });
    await save();
    expect(screen.getByRole('alert').textContent).toContain('enter the passphrase or password');
    await fireEvent.input(dialog.getByLabelText('Passphrase of the key'), { target: { value: 'new' } });
    await save();
    expect(called(fixture, 'change_server').at(-1)).toMatchObject({ change: { ssh_secret: 'new' } });
    expect(screen.queryByRole('dialog')).toBeNull();
  });

  test('leaves no secret in the keyring that its login needs no more', async () => {
    const { fixture, dialog } = await edit();
    await fireEvent.change(dialog.getByLabelText('Login'), { target: { value: 'agent' } });
    await settle();
    await save();
    expect(called(fixture, 'change_server')).toMatchObject([{ change: { ssh_secret: '' } }]);
  });

  test('loses its secret by a box', async () => {
    const { fixture, dialog } = await edit();
    await fireEvent.click(dialog.getByRole('checkbox', { name: /opens the SSH login/ }));
    await save();
    expect(called(fixture, 'change_server')).toMatchObject([{ change: { ssh_secret: '' } }]);
  });

  test('goes straight again by the switch', async () => {
    const { fixture, dialog } = await edit();
    await fireEvent.click(dialog.getByRole('switch', { name: /Reach it through an SSH server/ }));
    await save();
    const [{ change }] = called(fixture, 'change_server') as [{ change: { connection: object } }];
    expect(change.connection).not.toHaveProperty('tunnel');
    expect(fixture.world.servers.find((each) => each.name === 'Behind the bastion')?.has_ssh_secret).toBe(
      false,
    );
  });

  test('is tested as it is saved, and changed only with what is in the keyring alone', async () => {
    const { fixture, dialog } = await edit();
    const test = () => dialog.getByRole<HTMLButtonElement>('button', { name: 'Test' });
    await fireEvent.click(test());
    await settle();
    expect(called(fixture, 'test_connection').at(-1)).toMatchObject({
      request: { input: { type: 'server' } },
    });
    await fireEvent.input(dialog.getByLabelText('Password'), { target: { value: 'typed' } });
    await settle();
    expect(test().disabled).toBe(true);
    await fireEvent.input(dialog.getByLabelText('Passphrase of the key'), { target: { value: 'too' } });
    await settle();
    await fireEvent.click(test());
    await settle();
    expect(called(fixture, 'test_connection').at(-1)).toMatchObject({
      request: { input: { type: 'form', password: 'typed', ssh_secret: 'too' } },
    });
  });
});

test('a run that an unknown key stopped is tried again once it is accepted', async () => {
  const fixture = small();
  const run = fixture.world.runs.find((each) => each.state.state === 'failed');
  if (!run) throw new Error('the fixture has a failed run');
  run.failure = { code: 'host_key_unknown', message: 'A new key.', hint: null, details: 'host key' };
  await show(RunFull, { id: run.id }, { fixture });
  await press('Accept this key');
  expect(called(fixture, 'accept_host_key')).toEqual([{ line: 'host key' }]);
  expect(called(fixture, 'back_up_now')).toHaveLength(1);
});

describe('a destination over SFTP', () => {
  async function begin(host: string) {
    const shown = await show(Destinations, {}, { fixture: small('empty') });
    await fireEvent.click(screen.getAllByRole('button', { name: 'Add a destination' })[0] as HTMLElement);
    await settle();
    await fireEvent.change(screen.getByRole('combobox', { name: 'Kind' }), { target: { value: 'sftp' } });
    await settle();
    await fireEvent.input(screen.getByLabelText('Host or alias'), { target: { value: host } });
    await fireEvent.input(screen.getByLabelText('Folder there'), { target: { value: 'backups' } });
    await settle();
    return shown;
  }

  test('asks for its server as a tunnel does, and sends its secret along', async () => {
    const { fixture } = await begin('nas');
    await fireEvent.change(screen.getByLabelText('Login'), { target: { value: 'password' } });
    await settle();
    await fireEvent.input(screen.getByLabelText('SSH password'), { target: { value: 's3cret' } });
    await fireEvent.input(screen.getByLabelText('SSH port'), { target: { value: '2222' } });
    await press('Save');
    expect(called(fixture, 'add_destination')).toMatchObject([
      {
        input: {
          secret: 's3cret',
          place: {
            kind: 'sftp',
            path: 'backups',
            ssh: { host: 'nas', port: 2222, user: null, login: { with: 'password' } },
          },
        },
      },
    ]);
  });

  test('is tested again once its unknown key is accepted', async () => {
    const { fixture } = await begin('unknown.example.com');
    await press('Test');
    expect(screen.getByRole('alert').textContent).toContain('SHA256:');
    await press('Accept this key');
    expect(called(fixture, 'test_destination')).toHaveLength(2);
    expect(screen.getByText('Backups can be kept here.')).toBeTruthy();
  });

  test('is added once its unknown key is accepted', async () => {
    const { fixture } = await begin('unknown.example.com');
    await press('Save');
    expect(screen.getByRole('alert').textContent).toContain('nobody has accepted yet');
    await press('Accept this key');
    expect(fixture.world.destinations.map((each) => each.kind)).toContain('sftp');
    expect(document.querySelector('dialog[open]')).toBeNull();
  });

  test('says why the key could not be accepted', async () => {
    const { fixture } = await begin('unknown.example.com');
    fixture.overrides.set('accept_host_key', () => {
      throw { code: 'internal', message: 'The file cannot be written.', hint: null, details: null };
    });
    await press('Test');
    await press('Accept this key');
    expect(screen.getByText(/The file cannot be written/)).toBeTruthy();
    expect(called(fixture, 'test_destination')).toHaveLength(1);
  });
});

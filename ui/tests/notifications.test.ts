import { fireEvent, within } from '@testing-library/svelte';
import { describe, expect, test, vi } from 'vitest';
import { LINKS } from '$features/notifications/links';
import type { Fixture } from '$lib/ipc/fixture';
import { OWN_CERTIFICATE } from '$lib/ipc/fixture/notifications';
import Notifications from '../src/routes/notifications/+page.svelte';
import { called, press, screen, settle, show, small } from './frame';

// Whole dialogs in a slow DOM, on machines that do other things too.
vi.setConfig({ testTimeout: 120_000 });

const dialog = () => within(screen.getByRole('dialog'));
const main = () => within(document.querySelector('main') as HTMLElement);
const plain = (element: Element | null | undefined) => element?.textContent.replace(/\s+/g, ' ').trim() ?? '';
const outcome = () => plain(document.querySelector('dialog[open] .outcome'));

async function type(name: string | RegExp, value: string) {
  await fireEvent.input(dialog().getByLabelText(name), { target: { value } });
  await settle();
}

async function act(name: string | RegExp) {
  await fireEvent.click(dialog().getByRole('button', { name }));
  await settle();
}

async function choose(name: string, value: string) {
  await fireEvent.change(dialog().getByRole('combobox', { name }), { target: { value } });
  await settle();
}

/** What a click on its summary does, which the tests' DOM leaves to a browser. */
async function unfold(summary: RegExp) {
  const details = dialog().getByText(summary).closest('details') as HTMLDetailsElement;
  details.open = true;
  await fireEvent(details, new Event('toggle'));
  await settle();
}

async function menu(name: string, item: string) {
  await press(`More for ${name}`);
  await fireEvent.click(screen.getByRole('menuitem', { name: item }));
  await settle();
}

async function open(fixture: Fixture = small()) {
  const shown = await show(Notifications, {}, { path: '/notifications', fixture });
  return { ...shown, fixture };
}

/** Opens the form of a new channel of a kind. */
async function add(kind: RegExp, fixture?: Fixture) {
  const shown = await open(fixture);
  await fireEvent.click(screen.getAllByRole('button', { name: 'Add a channel' })[0] as HTMLElement);
  await settle();
  await act(kind);
  return shown;
}

const saved = (fixture: Fixture) => called(fixture, 'save_channel').at(-1)?.input as Record<string, unknown>;

describe('the channels in their list', () => {
  test('say who is reached, what they are told, and how that goes', async () => {
    await open();
    const rows = screen.getAllByRole('row').map(plain);
    expect(rows.some((row) => /This desktop.*Critical and warnings.*Delivered 38 min ago/.test(row))).toBe(
      true,
    );
    expect(
      rows.some((row) =>
        /E-mail Ada’s mail.*ada@example.com and 2 more.*of production, quiet 22:00–07:00.*Delivered/.test(
          row,
        ),
      ),
    ).toBe(true);
    expect(rows.some((row) => /On call.*Waiting: 3 messages, next try in 4 min/.test(row))).toBe(true);
    expect(rows.some((row) => /Phone.*Off/.test(row))).toBe(true);
    expect(rows.some((row) => /Team Slack.*Failed: Slack does not let Howdah in/.test(row))).toBe(true);
  });

  test('keep the reason in view, and the raw words at hand', async () => {
    await open();
    const table = within(screen.getByRole('table', { name: 'Channels' }));
    expect(table.getByText(/The bot’s token was revoked/)).toBeTruthy();
    expect(table.getByText('Telegram could not be reached.')).toBeTruthy();
    expect(table.getAllByText('Details')).toHaveLength(2);
    expect(table.getByText(/"error":"token_revoked"/).closest('details')).toBeTruthy();
  });

  test('have no way to remove the desktop, which can be turned off', async () => {
    const { fixture } = await open();
    await press('More for This desktop');
    const items = screen.getAllByRole('menuitem').map(plain);
    expect(items).toEqual(['Send a test', 'Edit', 'Turn off']);
    await fireEvent.click(screen.getByRole('menuitem', { name: 'Turn off' }));
    await settle();
    expect(saved(fixture)).toMatchObject({ id: 'channel-desktop', enabled: false, secrets: {} });
    expect(
      screen
        .getAllByRole('row')
        .map(plain)
        .some((row) => /This desktop.*Off/.test(row)),
    ).toBe(true);
  });

  test('are tried out as they are, and say how that went', async () => {
    const { fixture } = await open();
    await menu('Ada’s mail', 'Send a test');
    expect(called(fixture, 'test_channel')).toMatchObject([{ input: { id: 'channel-mail', secrets: {} } }]);
    expect(main().getByText('Ada’s mail took the test.')).toBeTruthy();
    await menu('Team Slack', 'Send a test');
    const news = plain(document.querySelector('.news'));
    expect(news).toContain('Team Slack did not take the test.');
    expect(news).toContain('Slack does not let Howdah in.');
  });

  test('are tried again now, and removed when that is confirmed', async () => {
    const { fixture } = await open();
    await menu('On call', 'Try again now');
    expect(called(fixture, 'retry_deliveries')).toEqual([{ id: 'channel-telegram' }]);
    expect(
      screen
        .getAllByRole('row')
        .map(plain)
        .some((row) => /On call.*Delivered/.test(row)),
    ).toBe(true);
    await menu('Team Slack', 'Remove');
    expect(screen.getByRole('dialog', { name: 'Remove Team Slack?' })).toBeTruthy();
    await press('Remove the channel');
    expect(called(fixture, 'remove_channel')).toEqual([{ id: 'channel-slack' }]);
    expect(fixture.world.channels.map(({ name }) => name)).not.toContain('Team Slack');
  });

  test('teach whoever has none besides the desktop', async () => {
    await open(small('empty'));
    expect(screen.getByText('Only this desktop is told')).toBeTruthy();
    expect(screen.getByText('Nothing happened yet')).toBeTruthy();
  });

  test('are asked for again once a second at most, and never without a reason', async () => {
    const { fixture } = await open();
    const asked = () => called(fixture, 'notifications_page').length;
    expect(asked()).toBe(1);
    vi.useFakeTimers();
    for (let index = 0; index < 20; index += 1) fixture.emit({ type: 'notifications' });
    await vi.advanceTimersByTimeAsync(10);
    expect(asked()).toBe(2);
    await vi.advanceTimersByTimeAsync(1000);
    expect(asked()).toBe(3);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(asked()).toBe(3);
    vi.useRealTimers();
  });
});

describe('a channel that is added', () => {
  test('offers eleven kinds, each with its own form', async () => {
    await open();
    await press('Add a channel');
    expect(dialog().getAllByRole('listitem')).toHaveLength(11);
  });

  test('finds its chat in Telegram by what the bot heard', async () => {
    const { fixture } = await add(/^Telegram/);
    const find = dialog().getByRole<HTMLButtonElement>('button', { name: 'Find my chat' });
    expect(find.disabled).toBe(true);
    await act('Save');
    expect(outcome()).toBe('Paste the token.');
    await type('Bot token', '123:secret');
    expect(outcome()).toBe('Find the chat, or type its id.');
    await act('Find my chat');
    expect(called(fixture, 'find_telegram_chats')).toMatchObject([
      { input: { id: null, address: { kind: 'telegram', chat: '' }, secrets: { token: '123:secret' } } },
    ]);
    await fireEvent.click(dialog().getByRole('radio', { name: /Ops/ }));
    await settle();
    expect(dialog().getByLabelText<HTMLInputElement>('Chat').value).toBe('-1001234567890');
    expect(dialog().getByLabelText<HTMLInputElement>('Topic').value).toBe('42');
    await act('Send a test');
    expect(outcome()).toContain('Delivered');
    await act('Save');
    expect(saved(fixture)).toMatchObject({
      id: null,
      name: 'Ops',
      address: { kind: 'telegram', chat: '-1001234567890', topic: 42, proxy: null, server: null },
      secrets: { token: '123:secret' },
      rule: { least: 'warning' },
      enabled: true,
    });
    expect(document.querySelector('dialog[open]')).toBeNull();
    expect(document.body.innerHTML).not.toContain('123:secret');
    // It was tried out: nothing more is asked.
    expect(plain(document.querySelector('.news'))).toBe('');
  });

  test('says what to do where the bot heard nothing, or is not let in', async () => {
    await add(/^Telegram/);
    await type('Bot token', 'quiet');
    await act('Find my chat');
    expect(dialog().getByText(/The bot has heard nothing lately/)).toBeTruthy();
    await type('Bot token', 'revoked');
    expect(dialog().queryByText(/The bot has heard nothing lately/)).toBeNull();
    await act('Find my chat');
    expect(dialog().getByText('Telegram does not let Howdah in.')).toBeTruthy();
  });

  test('trusts a mail server’s own certificate only when told to', async () => {
    const { fixture } = await add(/^E-mail/);
    await choose('Provider', 'own');
    await type('Mail server', 'own.example.com');
    await type('User', 'ada@example.com');
    await type('Password', 'pw');
    await type('Recipients', 'ada@example.com\nnobody@example.com');
    await act('Send a test');
    expect(outcome()).toContain('The certificate of the mail server own.example.com is not trusted.');
    expect(outcome()).toContain(
      OWN_CERTIFICATE.slice(0, 6)
        .toUpperCase()
        .replace(/(..)(..)(..)/, '$1:$2:$3'),
    );
    expect(called(fixture, 'test_channel').at(-1)).toMatchObject({
      input: { address: { trusted_certificate: null, port: 0, security: 'start_tls' } },
    });
    await act('Trust this one certificate');
    expect(called(fixture, 'test_channel').at(-1)).toMatchObject({
      input: { address: { trusted_certificate: OWN_CERTIFICATE } },
    });
    expect(outcome()).toContain('Delivered');
    expect(outcome()).toContain('nobody@example.com does not exist');
    await act('Do not trust it any more');
    expect(outcome()).toBe('');
    await act('Send a test');
    expect(outcome()).toContain('is not trusted');
  });

  test('shows a web hook’s body as it is typed, and what is wrong with it', async () => {
    const { fixture } = await add(/^Web hook/);
    const preview = async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await settle();
    };
    await preview();
    expect(dialog().getByText(/"title": "Backups of shop fail"/)).toBeTruthy();
    await type('Body', '{ "text": "{{titel}}" }');
    await type('Body', '{ "text": "{{title}" }');
    await type('Body', '{ "text": "{{titel}}" }');
    await preview();
    expect(called(fixture, 'preview_webhook')).toHaveLength(2);
    expect(
      dialog().getByText('The web hook’s template names {{titel}}, which a message has not.'),
    ).toBeTruthy();
    expect(dialog().getByLabelText('Body').getAttribute('aria-invalid')).toBe('true');
    expect(dialog().queryByText(/Backups of shop fail/)).toBeNull();
    await type('Body', '{ "text": "{{title}}" }');
    await preview();
    expect(dialog().getByText(/"text": "Backups of shop fail"/)).toBeTruthy();
    await type('URL', 'https://example.com/hook');
    await type('Headers', 'Authorization: Bearer x');
    await choose('Method', 'PUT');
    await act('Save');
    expect(saved(fixture)).toMatchObject({
      address: { kind: 'webhook', method: 'PUT', template: '{ "text": "{{title}}" }' },
      secrets: { url: 'https://example.com/hook', headers: 'Authorization: Bearer x' },
    });
  });

  test('is saved without a test, which is then offered', async () => {
    const { fixture } = await add(/^ntfy/);
    await act('Make one up');
    await type('Name', 'Phone 2');
    await act('Save');
    expect(saved(fixture)).toMatchObject({ name: 'Phone 2', secrets: {} });
    expect(main().getByText('Phone 2 is saved, and was never tried out.')).toBeTruthy();
    await fireEvent.click(main().getByRole('button', { name: 'Send a test' }));
    await settle();
    expect(main().getByText('Phone 2 took the test.')).toBeTruthy();
  });

  test('says why it could not be saved, and stays as typed', async () => {
    const { fixture } = await add(/^Discord/);
    fixture.world.keyring = 'locked';
    await type('Web hook URL', 'https://discord.com/api/webhooks/1/x');
    await act('Save');
    expect(outcome()).toContain('The keyring is locked.');
    expect(dialog().getByRole('button', { name: 'Unlock the keyring' })).toBeTruthy();
    await act('Unlock the keyring');
    expect(document.querySelector('dialog[open]')).toBeNull();
    expect(fixture.world.channels.some(({ kind }) => kind === 'discord')).toBe(true);
  });

  test('leads only to pages on the list', async () => {
    const { fixture } = await add(/^Slack/);
    await act(/^Slack on incoming webhooks/);
    await fireEvent.click(dialog().getByRole('radio', { name: 'Bot' }));
    await settle();
    await act(/^Slack on bots that post/);
    expect(called(fixture, 'open_link')).toEqual([{ url: LINKS.slack_hook }, { url: LINKS.slack_bot }]);
    for (const link of Object.values(LINKS)) expect(link).toMatch(/^https:\/\//);
  });

  test('can be of another kind after all', async () => {
    await add(/^Gotify/);
    await act('Another kind');
    await act(/^Dead man’s switch/);
    expect(dialog().getByLabelText('Ping URL')).toBeTruthy();
    expect(dialog().queryByText('Quiet hours')).toBeNull();
    expect(dialog().getByText('Start, success and failure of backups')).toBeTruthy();
  });
});

describe('a channel that is changed', () => {
  test('keeps its secret where none is typed, and says so', async () => {
    const { fixture } = await open();
    await menu('Team Slack', 'Edit');
    const token = dialog().getByLabelText<HTMLInputElement>('Bot token');
    expect(token.value).toBe('');
    expect(token.placeholder).toBe('kept; leave empty to keep it');
    await type('Name', 'Slack');
    await act('Save');
    expect(saved(fixture)).toMatchObject({ id: 'channel-slack', name: 'Slack', secrets: {} });
  });

  test('is told what its rule says, in words and in the list', async () => {
    const { fixture } = await open();
    await menu('Ada’s mail', 'Edit');
    const words = () => plain(document.querySelector('dialog[open] .sentence'));
    expect(words()).toBe('Critical and warnings, of production, quiet 22:00–07:00, a summary daily at 08:00');
    await fireEvent.click(dialog().getByRole('radio', { name: 'Only critical' }));
    await unfold(/^Exceptions/);
    await choose('Backup succeeded', 'always');
    await choose('Drill failed', 'never');
    expect(dialog().getByText('Exceptions (2)')).toBeTruthy();
    await fireEvent.click(dialog().getByRole('radio', { name: 'These' }));
    await settle();
    await act('Save');
    expect(outcome()).toBe('Choose at least one database.');
    await fireEvent.click(dialog().getByRole('checkbox', { name: 'billing' }));
    await fireEvent.click(dialog().getByRole('checkbox', { name: 'Tell again that a database is down' }));
    await type('Minutes between', '15');
    await fireEvent.click(dialog().getByRole('radio', { name: 'Weekly' }));
    await settle();
    await choose('Day of the summary', 'sunday');
    expect(words()).toBe(
      'Only critical, also “Backup succeeded”, never “Drill failed”, of billing, quiet 22:00–07:00, again every 15 min while down, a summary on Sunday at 08:00',
    );
    await act('Save');
    expect(saved(fixture)).toMatchObject({
      rule: {
        least: 'critical',
        also: ['backup_succeeded'],
        never: ['drill_failed'],
        databases: { which: 'these', ids: [fixture.world.databases[1]?.id] },
        again_minutes: 15,
        summary: { day: 'sunday', at: { hour: 8, minute: 0 } },
      },
    });
    expect(
      screen
        .getAllByRole('row')
        .map(plain)
        .some((row) => /Ada’s mail.*of billing/.test(row)),
    ).toBe(true);
  });

  test('forgets what a test found when the address is another one', async () => {
    await open();
    await menu('Ada’s mail', 'Edit');
    await act('Send a test');
    expect(outcome()).toContain('Delivered');
    await type('Recipients', 'grace@example.com');
    expect(outcome()).toBe('');
  });
});

describe('what happened', () => {
  const rows = () => [...document.querySelectorAll<HTMLElement>('section li')];
  const row = (text: string) => {
    const found = rows().find((each) => each.textContent.includes(text));
    if (!found) throw new Error(`no row says ${text}`);
    return found;
  };

  test('is listed with how grave it is, how long it lasts, and who was told', async () => {
    await open();
    expect(plain(row('staging does not answer'))).toMatch(
      /Critical staging does not answer Acknowledge 38 min ago since .* · lasts Told This desktop delivered/,
    );
    expect(plain(row('billing does not answer'))).toContain('over after 14 min');
    expect(plain(row('staging is new on Office'))).toContain('Nobody was told');
    expect(within(row('billing takes 2.4 s')).getAllByText('told with others').length).toBeGreaterThan(0);
  });

  test('leads to the page that tells more', async () => {
    const { fixture } = await open();
    const link = within(row('staging does not answer')).getByRole('link', { name: 'Open the database' });
    expect(link.getAttribute('href')).toBe(`/databases/${fixture.world.databases[3]?.id ?? ''}`);
  });

  test('says why somebody was not told, to the pointer and to the keyboard', async () => {
    await open();
    const mark = within(row('staging does not answer')).getByRole('button', { name: /Team Slack failed/ });
    const why = document.getElementById(mark.getAttribute('aria-describedby') ?? '');
    expect(plain(why)).toContain('Slack does not let Howdah in.');
    expect(why?.classList.contains('shown')).toBe(false);
    await fireEvent.focus(mark);
    expect(why?.classList.contains('shown')).toBe(true);
    await fireEvent.keyDown(mark, { key: 'Escape' });
    expect(why?.classList.contains('shown')).toBe(false);
    await fireEvent.pointerEnter(mark.parentElement as HTMLElement);
    expect(why?.classList.contains('shown')).toBe(true);
    await fireEvent.pointerLeave(mark.parentElement as HTMLElement);
    expect(why?.classList.contains('shown')).toBe(false);
    const waiting = within(row('staging does not answer')).getByRole('button', { name: /On call waiting/ });
    expect(plain(document.getElementById(waiting.getAttribute('aria-describedby') ?? ''))).toContain(
      'Next try in 4 min.',
    );
  });

  test('opens to all that is known of it', async () => {
    await open();
    const toggle = within(row('Backups of analytics fail')).getByRole('button', { name: /^Critical/ });
    expect(toggle.getAttribute('aria-expanded')).toBe('false');
    await fireEvent.click(toggle);
    await settle();
    expect(toggle.getAttribute('aria-expanded')).toBe('true');
    expect(plain(row('Backups of analytics fail'))).toContain('LOCK TABLE audit.log');
    expect(
      within(row('Backups of analytics fail')).getByRole('button', { name: 'Copy all of it' }),
    ).toBeTruthy();
  });

  test('is acknowledged where it lasts and is critical', async () => {
    const { fixture } = await open();
    const buttons = () => screen.queryAllByRole('button', { name: /^Acknowledge: / });
    expect(buttons()).toHaveLength(1);
    await fireEvent.click(buttons()[0] as HTMLElement);
    await settle();
    expect(called(fixture, 'acknowledge_alert')).toHaveLength(1);
    expect(buttons()).toHaveLength(0);
    expect(plain(row('staging does not answer'))).toContain('acknowledged just now');
  });

  test('is filtered by severity and text', async () => {
    const { fixture } = await open();
    expect(rows()).toHaveLength(fixture.world.alerts.length);
    await fireEvent.click(screen.getByRole('radio', { name: 'Critical' }));
    await settle();
    expect(rows()).toHaveLength(4);
    await fireEvent.input(screen.getByRole('searchbox', { name: 'Search what happened' }), {
      target: { value: 'nothing of the kind' },
    });
    await settle();
    expect(screen.getByText('Nothing matches')).toBeTruthy();
    await press('Show all');
    expect(rows()).toHaveLength(fixture.world.alerts.length);
  });
});

/** What a server says of itself, and whether it runs out of something. */
import { formatCount, formatDate } from '$lib/format';
import type { ServerFacts } from '$lib/ipc';
import { t } from '$lib/messages';

const DAY = 86_400_000;

/** From this share of its connections on. */
const MANY = 0.85;
/** PostgreSQL refuses new transactions at 3 million left, and warns at 40 million: this is some days before, on a busy server. */
const FEW = 200_000_000;
/** Certificates of the common kind are renewed thirty days before; one that is not soon after was forgotten. */
const SOON = 21 * DAY;

export interface Fact {
  key: string;
  words: string;
  warn: boolean;
}

export function serverFacts(server: ServerFacts, now: number): Fact[] {
  const { connections, max_connections, transactions_left, certificate_expires } = server;
  const facts: Fact[] = [
    {
      key: 'connections',
      words: t('server_facts.connections', { n: max_connections, used: connections }),
      warn: connections >= max_connections * MANY,
    },
  ];
  if (transactions_left !== null) {
    facts.push({
      key: 'transactions',
      words: t('server_facts.transactions', { count: formatCount(transactions_left) }),
      warn: transactions_left < FEW,
    });
  }
  if (certificate_expires !== null) {
    const left = Date.parse(certificate_expires) - now;
    const n = Math.floor(left / DAY);
    const words =
      left <= 0
        ? t('server_facts.expired')
        : n > 90
          ? t('server_facts.expires_on', { date: formatDate(certificate_expires, now) })
          : t('server_facts.expires', { n });
    facts.push({ key: 'certificate', words, warn: left < SOON });
  }
  return facts;
}

/**
 * Every word that the window says, in English: one catalogue, kept by area. Sentence case; buttons are verbs; no
 * exclamation marks.
 */
import { add } from './add';
import { availability } from './availability';
import { backups } from './backups';
import { channels } from './channels';
import { common } from './common';
import { databases } from './databases';
import { destinations } from './destinations';
import { drive } from './drive';
import { failures } from './failures';
import { frame } from './frame';
import { instances } from './instances';
import { inside } from './inside';
import { moving } from './moving';
import { notifications } from './notifications';
import { overview } from './overview';
import { plans } from './plans';
import { quantities } from './quantities';
import { restore } from './restore';
import { runs } from './runs';
import { servers } from './servers';
import { settings } from './settings';
import { ssh } from './ssh';

export const en = {
  ...frame,
  ...common,
  ...quantities,
  ...overview,
  ...databases,
  ...availability,
  ...destinations,
  ...drive,
  ...channels,
  ...notifications,
  ...ssh,
  ...servers,
  ...add,
  ...plans,
  ...runs,
  ...backups,
  ...inside,
  ...settings,
  ...moving,
  ...instances,
  ...restore,
  ...failures,
} as const;

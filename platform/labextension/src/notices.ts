/** What the platform tells a person while they work: that their server will be stopped, that a run has ended. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { Poll } from '@lumino/polling';

import { noticesOf } from './server';

/** How often the server is asked, in milliseconds: a warning of a stop comes minutes before it. */
const INTERVAL = 60_000;

/** How long what is not urgent stays on the screen, in milliseconds. Lab's bell keeps it after that. */
const SHOWN = 15_000;

/** Lab cuts a longer message off, in characters; the rest is on the portal's page. */
const LONGEST = 140;

export const notices: JupyterFrontEndPlugin<void> = {
  id: 'romanhub-community:notices',
  description: 'Shows the notices of the platform in Lab.',
  autoStart: true,
  activate: (_app: JupyterFrontEnd): void => {
    const told = new Set<number>();
    new Poll({
      name: 'romanhub-community:notices',
      frequency: { interval: INTERVAL, backoff: true, max: 10 * INTERVAL },
      // Somebody who works in another window wants to know, too.
      standby: 'never',
      factory: async () => {
        const found = await noticesOf();
        for (const notice of found.notices.reverse()) {
          if (told.has(notice.id)) {
            continue;
          }
          told.add(notice.id);
          const whole = `${notice.subject}. ${notice.text}`;
          const message = whole.length > LONGEST ? `${notice.subject}.` : whole;
          Notification.emit(message, notice.urgent ? 'warning' : 'info', {
            autoClose: notice.urgent ? false : SHOWN,
            actions: [
              {
                label: 'Read more',
                caption: found.address,
                callback: () => {
                  window.open(found.address, '_blank', 'noopener');
                }
              }
            ]
          });
        }
      }
    });
  }
};

/** From a notebook's path to a draft in the catalogue, by way of the dialog. */

import { Dialog, Notification, showDialog, showErrorMessage } from '@jupyterlab/apputils';

import { SidecarForm } from './form';
import { Draft, Fields, Refused, knownOf, sendDraft } from './server';

/** Ask for what there is to say of a notebook, and send it. It raises what goes wrong before the dialog is there. */
export async function share(path: string): Promise<void> {
  const known = await knownOf(path);
  let fields: Fields = known.fields;
  for (;;) {
    const answer = await showDialog({
      title: 'Share with the community',
      body: new SidecarForm(path, fields, known.licences),
      buttons: [Dialog.cancelButton(), Dialog.okButton({ label: 'Send the draft' })],
      // Enter is for the lines of the abstract.
      focusNodeSelector: 'input[name="title"]'
    });
    if (!answer.button.accept || !answer.value) {
      return;
    }
    fields = answer.value;
    try {
      told(await sendDraft(path, fields));
      return;
    } catch (error) {
      // Nothing of what was written is lost: the dialog comes back after the message.
      const said = error instanceof Refused ? error.message : String(error);
      await showErrorMessage('The draft was not taken', said);
    }
  }
}

/** Open the draft's page, where it is looked at and made public; browsers may not let a tab open by itself. */
function told(draft: Draft): void {
  const opened = window.open(draft.address, '_blank');
  if (opened) {
    opened.opener = null;
  }
  const lacks = Object.keys(draft.missing);
  const message =
    `Draft ${draft.number} of ${draft.name} is in the catalogue, and you alone see it. ` +
    (lacks.length ? `It lacks: ${lacks.join(', ')}. ` : '') +
    'You make it public on its page.';
  Notification.success(message, {
    autoClose: false,
    actions: [
      {
        label: 'Open its page',
        caption: draft.address,
        callback: () => {
          window.open(draft.address, '_blank', 'noopener');
        }
      }
    ]
  });
}

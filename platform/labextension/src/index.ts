/** "Share with the community" in JupyterLab, a word on copies of which there is a newer version, and notices. */

import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { FileDialog } from '@jupyterlab/filebrowser';
import { ILauncher } from '@jupyterlab/launcher';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { LabIcon } from '@jupyterlab/ui-components';
import { Widget } from '@lumino/widgets';

import { notices } from './notices';
import { Refused, Source, newerThan } from './server';
import { share } from './share';

const COMMAND = 'romanhub:share';
const TITLE = 'Share with the community';

const icon = new LabIcon({
  name: 'romanhub:share',
  svgstr:
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24"><path class="jp-icon3" fill="#616161" ' +
    'd="M18 16a3 3 0 0 0-2.2 1L8.9 13a3 3 0 0 0 0-2l6.8-4A3 3 0 1 0 15 5l.1.7-6.9 4a3 3 0 1 0 0 4.6l6.9 4-.1.7a3 3 ' +
    '0 1 0 3-3z"/></svg>'
});

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'romanhub-community:share',
  description: 'Shares notebooks with the community of the platform.',
  autoStart: true,
  requires: [INotebookTracker, IDocumentManager],
  optional: [ILauncher, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    notebooks: INotebookTracker,
    documents: IDocumentManager,
    launcher: ILauncher | null,
    palette: ICommandPalette | null
  ): void => {
    app.commands.addCommand(COMMAND, {
      label: TITLE,
      caption: 'Send this notebook to the catalogue as a draft, which you then look at and make public',
      icon,
      execute: async args => {
        const path = args.choose ? await choose(documents) : notebooks.currentWidget?.context.path;
        if (!path) {
          return;
        }
        try {
          await save(documents, path);
          await share(path);
        } catch (error) {
          await showErrorMessage('The notebook was not shared', words(error));
        }
      },
      isEnabled: args => Boolean(args.choose) || notebooks.currentWidget !== null
    });

    launcher?.add({ command: COMMAND, category: 'Other', args: { choose: true } });
    palette?.addItem({ command: COMMAND, category: 'Notebook Operations' });
    // The notebook's toolbar and menus have it by schema/share.json.

    notebooks.widgetAdded.connect((_, panel) => {
      void panel.context.ready.then(() => sayIfNewer(panel));
    });
  }
};

/** Let the person pick a notebook. */
async function choose(manager: IDocumentManager): Promise<string | undefined> {
  const picked = await FileDialog.getOpenFiles({
    manager,
    title: `${TITLE}: which notebook?`,
    filter: model => (model.type === 'notebook' ? { score: 1 } : model.type === 'directory' ? {} : null)
  });
  return picked.value?.find(model => model.type === 'notebook')?.path;
}

/** What is shared is what is on the disk, so what was typed last goes there first. */
async function save(manager: IDocumentManager, path: string): Promise<void> {
  const open = manager.findWidget(path);
  if (open?.context.model.dirty) {
    await open.context.save();
  }
}

/** Show above a notebook that there is a newer version of what it is a copy of. */
async function sayIfNewer(panel: NotebookPanel): Promise<void> {
  const source = panel.context.model?.getMetadata('romanhub') as Source | undefined;
  if (typeof source?.entry !== 'string' || typeof source.version !== 'number') {
    return;
  }
  try {
    const newer = await newerThan(source);
    if (newer && !panel.isDisposed) {
      panel.contentHeader.addWidget(new NewerBanner(source, newer));
    }
  } catch (error) {
    // Nobody asked, so nobody is bothered with it.
    console.info('Whether there is a newer version could not be asked.', error);
  }
}

class NewerBanner extends Widget {
  constructor(source: Source, newer: { version: number; address: string }) {
    super();
    this.addClass('romanhub-newer');
    const said = document.createElement('span');
    said.textContent = `A newer version exists: this is a copy of version ${source.version} of ${source.entry}. `;
    const link = document.createElement('a');
    link.textContent = `See version ${newer.version}`;
    link.href = newer.address;
    link.target = '_blank';
    link.rel = 'noopener';
    const close = document.createElement('button');
    close.textContent = 'Hide';
    close.className = 'jp-mod-styled';
    close.addEventListener('click', () => this.dispose());
    this.node.append(said, link, close);
  }
}

function words(error: unknown): string {
  return error instanceof Refused || error instanceof Error ? error.message : String(error);
}

export default [plugin, notices];

/** The fields of a notebook's sidecar, as a form. */

import { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';

import { Author, Fields, Parameter } from './server';

interface Field {
  name: keyof Fields;
  label: string;
  hint?: string;
  lines?: number;
  needed?: boolean;
}

const FIELDS: Field[] = [
  { name: 'title', label: 'Title', needed: true },
  { name: 'abstract', label: 'Abstract', hint: 'What it does and for whom, in a few sentences', lines: 4, needed: true },
  { name: 'authors', label: 'Authors', hint: 'One a line, such as: Ada Lovelace 0000-0002-1825-0097', lines: 2, needed: true },
  { name: 'licence', label: 'Licence', hint: 'It has to let people share what they changed', needed: true },
  { name: 'tags', label: 'Tags', hint: 'What people would look for: photometry, microlensing' },
  { name: 'datasets', label: 'Data sets', hint: 'By name, such as: roman-sources, gaia' },
  { name: 'parameters', label: 'Parameters', hint: 'One a line, such as: radius: in arcseconds', lines: 2 },
  { name: 'citation', label: 'To cite besides', hint: "Such as a paper's DOI" },
  { name: 'tier', label: 'Smallest tier', hint: 'That it needs' },
  { name: 'image', label: 'Environment', hint: 'That it ran in' },
  { name: 'name', label: 'Name in addresses', hint: 'Small letters, digits and -' }
];

const LISTS: (keyof Fields)[] = ['authors', 'parameters'];
const WORDS: (keyof Fields)[] = ['tags', 'datasets'];

/** The dialog's body. What was not filled in is sent as empty, so that a field can be taken away. */
export class SidecarForm extends Widget implements Dialog.IBodyWidget<Fields> {
  constructor(path: string, fields: Fields, licences: string[]) {
    super();
    this.addClass('romanhub-share');
    const intro = document.createElement('p');
    intro.textContent =
      `${path} is sent as a draft, which you alone see. You look at it and make it public on the page that opens ` +
      'next. What you say here is kept in a file beside the notebook.';
    this.node.append(intro);
    for (const field of FIELDS) {
      const by = WORDS.includes(field.name) ? ', ' : '\n';
      this.node.append(this.row(field, text(fields[field.name], by), licences));
    }
  }

  getValue(): Fields {
    const said: Record<string, unknown> = {};
    for (const [name, input] of this.inputs) {
      const value = input.value.trim();
      if (LISTS.includes(name)) {
        said[name] = split(value, '\n');
      } else if (WORDS.includes(name)) {
        said[name] = split(value, ',');
      } else {
        said[name] = value;
      }
    }
    return said as Fields;
  }

  private row(field: Field, value: string, licences: string[]): HTMLElement {
    const label = document.createElement('label');
    const caption = document.createElement('span');
    caption.textContent = field.label + (field.needed ? ' *' : '');
    const input = document.createElement(field.lines ? 'textarea' : 'input');
    input.name = field.name;
    input.value = value;
    input.placeholder = field.hint ?? '';
    input.className = 'jp-mod-styled';
    if (input instanceof HTMLTextAreaElement) {
      input.rows = field.lines ?? 2;
      // The dialog would take Enter for its button.
      input.addEventListener('keydown', event => event.key === 'Enter' && event.stopPropagation());
    } else if (field.name === 'licence') {
      const list = document.createElement('datalist');
      list.id = 'romanhub-licences';
      list.append(...licences.map(licence => new Option(licence, licence)));
      input.setAttribute('list', list.id);
      label.append(list);
    }
    this.inputs.set(field.name, input);
    label.append(caption, input);
    return label;
  }

  private readonly inputs = new Map<keyof Fields, HTMLInputElement | HTMLTextAreaElement>();
}

function split(value: string, by: string): string[] {
  return value
    .split(by)
    .map(one => one.trim())
    .filter(Boolean);
}

/** A field as text; the parts of a list with something between them. */
function text(value: Fields[keyof Fields], by: string): string {
  if (value === undefined || value === null || typeof value === 'string') {
    return value ?? '';
  }
  return value.map(one => (typeof one === 'string' ? one : part(one))).join(by);
}

function part(one: Author | Parameter): string {
  if ('orcid' in one && one.orcid) {
    return `${one.name} ${one.orcid}`;
  }
  return 'about' in one && one.about ? `${one.name}: ${one.about}` : one.name;
}

// dialog.js - asks before something is done, twice where it cuts power; says what came of it.

import { h } from './dom.js';

// Shows a dialog of steps; each must be agreed to. A step: {title, text, action, isDangerous,
// fields}. Gives the fields' values, or null when the person has gone back.
export function ask(...steps) {
  return new Promise((resolve) => {
    const dialog = h('dialog', { 'aria-labelledby': 'ask-title' });
    const values = {};
    const finish = (result) => {
      dialog.close();
      dialog.remove();
      resolve(result);
    };
    const show = (index) => {
      const step = steps[index];
      const inputs = (step.fields || []).map((field) => h('input', {
        name: field.name, value: values[field.name] ?? field.value ?? '', autocomplete: 'off',
        spellcheck: 'false',
      }));
      const agree = h('button', { type: 'submit', class: step.isDangerous ? 'danger' : 'primary' }, step.action);
      const back = h('button', { type: 'button', onclick: () => finish(null) }, 'Go back');
      const form = h('form', {
        onsubmit: (event) => {
          event.preventDefault();
          inputs.forEach((input) => { values[input.name] = input.value.trim(); });
          if (index + 1 < steps.length) {
            show(index + 1);
          } else {
            finish(values);
          }
        },
      },
      steps.length > 1 && h('p', { class: 'step' }, `Question ${index + 1} of ${steps.length}`),
      h('h2', { id: 'ask-title' }, step.title),
      step.text && h('p', null, step.text),
      inputs.map((input, i) => h('label', { class: 'field' }, step.fields[i].label, input)),
      h('div', { class: 'row end' }, back, agree));
      dialog.replaceChildren(form);
      // Nobody agrees by holding Enter down.
      (inputs[0] || back).focus();
    };
    dialog.addEventListener('cancel', () => finish(null));
    document.body.append(dialog);
    dialog.showModal();
    show(0);
  });
}

let noticeTimer = null;

// A line at the foot of the page, read out by screen readers.
export function notice(message, isBad) {
  document.getElementById('notice')?.remove();
  clearTimeout(noticeTimer);
  const close = h('button', { type: 'button', class: 'quiet', onclick: () => line.remove() }, 'Close');
  const line = h('div', { id: 'notice', class: isBad ? 'notice bad' : 'notice', role: isBad ? 'alert' : 'status' },
    h('span', null, message), close);
  document.body.append(line);
  if (!isBad) {
    noticeTimer = setTimeout(() => line.remove(), 6000);
  }
}

// Does something and says how it went. Gives whether it went well.
export async function attempt(what, action) {
  try {
    await action();
    notice(what + ': done');
    return true;
  } catch (error) {
    notice(`${what}: ${error.message} (${error.code})`, true);
    return false;
  }
}

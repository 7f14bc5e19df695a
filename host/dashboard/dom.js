// dom.js - makes and changes elements; nothing is ever put in as HTML.

export function h(name, attributes, ...children) {
  const element = document.createElement(name);
  set(element, attributes);
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

const SVG = 'http://www.w3.org/2000/svg';

export function svg(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes || {})) {
    element.setAttribute(key, value);
  }
  element.append(...children.flat(Infinity));
  return element;
}

export function set(element, attributes) {
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key.startsWith('on')) {
      element.addEventListener(key.slice(2), value);
    } else if (value === true || value === false || value === null || value === undefined) {
      element.toggleAttribute(key, value === true);
    } else {
      element.setAttribute(key, value);
    }
  }
  return element;
}

// Changes a text or an attribute only when it is another: most of what comes is as it was.
export function text(element, value) {
  const node = element.firstChild;
  if (node === null || node.nextSibling !== null) {
    if (element.textContent !== value) {
      element.textContent = value;
    }
  } else if (node.nodeValue !== value) {
    node.nodeValue = value;
  }
}

export function attribute(element, name, value) {
  if (element.getAttribute(name) !== value) {
    element.setAttribute(name, value);
  }
}

export function badge(tone, word, title) {
  return h('span', { class: 'badge ' + tone, title: title || null }, word);
}

// Calls `draw` at most once a frame.
export function framed(draw) {
  let asked = false;
  return () => {
    if (!asked) {
      asked = true;
      requestAnimationFrame(() => {
        asked = false;
        draw();
      });
    }
  };
}

// Calls `act` at once, and then at most every `ms`; the last wish is not lost.
export function paced(act, ms) {
  let timer = null;
  let again = false;
  const run = () => {
    timer = setTimeout(() => {
      timer = null;
      if (again) {
        again = false;
        run();
      }
    }, ms);
    act();
  };
  const call = () => {
    if (timer === null) {
      run();
    } else {
      again = true;
    }
  };
  call.stop = () => {
    clearTimeout(timer);
    timer = null;
    again = false;
  };
  return call;
}

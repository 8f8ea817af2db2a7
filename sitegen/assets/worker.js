// Browsers refuse the worker of the search to a page that was opened as a file. It runs in a frame
// of the page then.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.body.appendChild(document.createElement("iframe"));
      this.frame.hidden = true;
      const inside = this.frame.contentWindow;
      // As from a worker, messages come later, never within the call that sent them.
      inside.postMessage = (data) =>
        setTimeout(() => {
          const event = new MessageEvent("message", { data });
          this.dispatchEvent(event);
          this.onmessage?.(event);
        });
      const load = (source) =>
        new Promise((resolve) => {
          const script = inside.document.createElement("script");
          script.src = source;
          script.onload = resolve;
          inside.document.body.append(script);
        });
      inside.importScripts = (...sources) =>
        sources.reduce((before, one) => before.then(() => load(one)), Promise.resolve());
      this.ready = load(url);
    }

    postMessage(data) {
      const event = new MessageEvent("message", { data: structuredClone(data) });
      this.ready.then(() => setTimeout(() => this.frame.contentWindow?.dispatchEvent(event)));
    }

    terminate() {
      this.frame.remove();
    }
  };
}

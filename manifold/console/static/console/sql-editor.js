// The editor of the SQL page: DuckDB's words, and completion of tables, columns, functions and snapshots.
(function () {
  "use strict";

  const KEYWORDS = ("all and anti any as asc asof between by case cast cross current desc distinct else end escape except exclude exists false filter first following from full group grouping having ilike in inner intersect interval is join lambda last lateral left like limit natural not null nulls offset on or order outer over partition pivot positional preceding qualify range recursive rename replace respect right rollup row rows sample select semi sets similar some then true try_cast unbounded union unpivot using values when where window with within").split(" ");
  const TYPES = ("bigint blob boolean date decimal double float hugeint integer interval json smallint struct text time timestamp timestamptz tinyint uuid varchar").split(" ");
  const set = (words) => Object.fromEntries(words.map((each) => [each, true]));

  function until(end, style) {
    return (stream) => {
      while (!stream.eol() && stream.next() !== end) { /* to the closing quote */ }
      return style;
    };
  }

  CodeMirror.defineMIME("text/x-duckdb", {
    name: "sql",
    keywords: set(KEYWORDS),
    builtin: set(TYPES),
    atoms: set(["true", "false", "null"]),
    dateSQL: {},
    operatorChars: /^[*/+\-%<>!=&|^~@]/,
    backslashStringEscapes: false,
    support: set(["decimallessFloat", "zerolessFloat"]),
    hooks: {
      '"': until('"', "variable-2"),
      $: (stream) => (stream.match(/^[A-Za-z_]\w*/) ? "variable-3" : null),
    },
  });

  // The names after $ in the order in which they come, but not those in texts, names and comments.
  function parametersOf(text) {
    const bare = text.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|\/\*[\s\S]*?\*\//g, " ");
    return [...new Set([...bare.matchAll(/\$([A-Za-z_]\w*)/g)].map((each) => each[1]))];
  }

  const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

  function candidates(known, editor, before) {
    const text = editor.getValue().toLowerCase();
    const named = Object.keys(known.tables).filter((each) => text.includes(each));
    const columns = [...new Set((named.length ? named : Object.keys(known.tables)).flatMap((each) => known.tables[each]))];
    const column = columns.map((name) => ({ name, text: quoted(name), kind: "column" }));
    if (/\.$/.test(before)) return column;
    const at = before.match(/"?([a-z0-9.-]+)@$/i);
    if (at && known.heads[at[1]]) {
      const head = known.heads[at[1]];
      const numbers = Array.from({ length: Math.min(head, 20) }, (_, index) => String(head - index));
      return [...(known.labels[at[1]] || []), ...numbers].map((name) => ({ name, text: `"${at[1]}@${name}"`, kind: "snapshot", whole: true }));
    }
    return [
      ...column,
      ...Object.keys(known.tables).map((name) => ({ name, text: quoted(name), kind: "table" })),
      ...KEYWORDS.concat(TYPES).map((name) => ({ name, text: name.toUpperCase(), kind: "word" })),
      ...known.functions.map((name) => ({ name, text: `${name}(`, kind: "function" })),
    ];
  }

  function hint(known) {
    return (editor) => {
      const cursor = editor.getCursor();
      const line = editor.getLine(cursor.line).slice(0, cursor.ch);
      const word = line.match(/"?[\w-]*$/)[0];
      const before = line.slice(0, line.length - word.length);
      const wanted = word.replace(/^"/, "").toLowerCase();
      const all = candidates(known, editor, before);
      const rank = (each) => (each.name.toLowerCase().startsWith(wanted) ? 0 : 1);
      const found = all.filter((each) => each.name.toLowerCase().includes(wanted) && each.name.toLowerCase() !== wanted);
      found.sort((a, b) => rank(a) - rank(b));
      const whole = all.some((each) => each.whole);
      const start = whole ? before.search(/"?[a-z0-9.-]+@$/i) : before.length;
      const after = editor.getLine(cursor.line).slice(cursor.ch);
      return {
        from: CodeMirror.Pos(cursor.line, start),
        to: CodeMirror.Pos(cursor.line, cursor.ch + (/["]/.test(line.slice(start, start + 1)) && after.startsWith('"') ? 1 : 0)),
        list: found.slice(0, 60).map((each) => ({
          text: each.text,
          render(element) {
            const kind = document.createElement("small");
            kind.textContent = each.kind;
            element.append(each.kind === "word" ? each.name.toUpperCase() : each.name, kind);
          },
        })),
      };
    };
  }

  function open(textarea, known, run) {
    const editor = CodeMirror.fromTextArea(textarea, {
      mode: "text/x-duckdb",
      theme: "manifold",
      lineNumbers: true,
      lineWrapping: true,
      matchBrackets: true,
      autoCloseBrackets: "()[]{}''\"\"",
      indentUnit: 2,
      screenReaderLabel: "SQL",
      inputStyle: matchMedia("(pointer: coarse)").matches ? "contenteditable" : "textarea",
      hintOptions: { hint: hint(known), completeSingle: false },
      extraKeys: {
        "Ctrl-Enter": run,
        "Cmd-Enter": run,
        "Ctrl-Space": "autocomplete",
        "Ctrl-/": "toggleComment",
        "Cmd-/": "toggleComment",
        // Tab leaves the editor, so that the keyboard is never trapped.
        Tab: false,
        "Shift-Tab": false,
      },
    });
    editor.on("inputRead", (_, change) => {
      if (change.origin === "+input" && /^[\w.@"]$/.test(change.text[0]) && !editor.state.completionActive) {
        const style = editor.getTokenTypeAt(editor.getCursor());
        if (style !== "string" && style !== "comment" && style !== "number") editor.showHint();
      }
    });
    return editor;
  }

  window.ManifoldSql = { open, parametersOf, quoted };
})();

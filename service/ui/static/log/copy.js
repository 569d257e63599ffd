// Copying rows as they are, without numbers, and with the characters that are only pictured.

/** What of the row's text the range has: all of it as it came, or a part as it is shown. */
function textIn(range, element) {
  const text = element.querySelector(".log-text");
  const whole = document.createRange();
  whole.selectNodeContents(text);
  const startsBefore = range.compareBoundaryPoints(Range.START_TO_START, whole) <= 0;
  const endsBehind = range.compareBoundaryPoints(Range.END_TO_END, whole) >= 0;
  if (startsBefore && endsBehind) return element.row.plain;
  const part = whole.cloneRange();
  if (!startsBefore) part.setStart(range.startContainer, range.startOffset);
  if (!endsBehind) part.setEnd(range.endContainer, range.endOffset);
  return part.toString();
}

/** The text of the rows that a selection goes across; null: it isn't in them. */
export function selectedText(selection, list) {
  if (!selection || selection.isCollapsed || !selection.rangeCount) return null;
  const range = selection.getRangeAt(0);
  if (!list.contains(range.startContainer) && !list.contains(range.endContainer) && !range.intersectsNode(list)) return null;
  const rows = [...list.children].filter((element) => {
    const text = element.querySelector(".log-text");
    return text && range.intersectsNode(text);
  });
  if (!rows.length) return null;
  let copied = "";
  rows.forEach((element, n) => {
    copied += textIn(range, element);
    if (n < rows.length - 1 && !(element.row.partial && rows[n + 1].row.line === element.row.line)) copied += "\n";
  });
  return copied;
}

/** Has copies from `list` made of what its rows say. Returns what ends that. */
export function copying(list) {
  const onCopy = (event) => {
    const text = selectedText(document.getSelection(), list);
    if (text === null) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  };
  document.addEventListener("copy", onCopy);
  return () => document.removeEventListener("copy", onCopy);
}

"""What the page says, in German. Only a table: English as the code has it -> German, with {names} for what varies.

What is missing here is shown in English; `tests/ui/test_languages.py` says what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_SETTINGS = {
    "Prompt": "Prompt",
    "What the picture should show.": "Was das Bild zeigen soll.",
    "Negative prompt": "Negativer Prompt",
    "What it should not show. Acts only where guidance is above 1.": (
        "Was es nicht zeigen soll. Wirkt nur, wo die Führung über 1 liegt."
    ),
    "Prompt weighting": "Gewichtung im Prompt",
    "Read (cat)1.5, cat++ and cat-- as weights. Off: take every character as it is.": (
        "(cat)1.5, cat++ und cat-- als Gewichte lesen. Aus: jedes Zeichen gilt, wie es dasteht."
    ),
    "Width": "Breite",
    "Height": "Höhe",
    "In pixels, in steps of 128.": "In Pixeln, in Schritten von 128.",
    "Pictures": "Bilder",
    "How many, each with a seed of its own: seed, seed + 1, ...": "Wie viele, jedes mit eigenem Seed: Seed, Seed + 1, ...",
    "Seed": "Seed",
    "The same seed and settings draw the same picture. Without one, it is drawn at random.": (
        "Gleicher Seed und gleiche Einstellungen ergeben das gleiche Bild. Ohne Angabe wird gewürfelt."
    ),
    "at random": "zufällig",
    "Prior steps": "Prior-Schritte",
    "Evaluations of the prior, which composes the picture. More are slower and finer.": (
        "Auswertungen des Priors, der das Bild komponiert. Mehr sind langsamer und feiner."
    ),
    "Prior schedule": "Prior-Zeitplan",
    "Two-part spends two thirds of its steps on the first third of the way, where the picture is composed.": (
        "Zweiteilig verwendet zwei Drittel der Schritte auf das erste Drittel des Weges, wo das Bild komponiert wird."
    ),
    "two-part": "zweiteilig",
    "linear": "linear",
    "Prior guidance": "Prior-Führung",
    "How closely the prior follows the prompt. 1 or less: no guidance, half the work.": (
        "Wie eng der Prior dem Prompt folgt. 1 oder weniger: keine Führung, halbe Arbeit."
    ),
    "Decoder steps": "Decoder-Schritte",
    "Evaluations of the decoder, which draws the detail.": "Auswertungen des Decoders, der die Einzelheiten zeichnet.",
    "Decoder guidance": "Decoder-Führung",
    "How closely the decoder follows the prompt. 1 or less: no guidance, half the work.": (
        "Wie eng der Decoder dem Prompt folgt. 1 oder weniger: keine Führung, halbe Arbeit."
    ),
}

_DRAWING = {
    "Words become pictures, by way of a space 42 times smaller.": (
        "Aus Worten werden Bilder, auf dem Weg durch einen 42-mal kleineren Raum."
    ),
    "Draw": "Zeichnen",
    "Generate": "Los",
    "Stop": "Halt",
    "Try": "Zum Ausprobieren",
    "The prompt as read": "Der Prompt, wie er gelesen wird",
    "Surprise me": "Überrasch mich",
    "Add a style": "Stil hinzufügen",
    "Swap": "Tauschen",
    "New seed each time": "Jedes Mal ein neuer Seed",
    "Off: the seed above stays.": "Aus: Der Seed darüber bleibt.",
    "Roll the dice": "Würfeln",
    "Reuse the last": "Den letzten nehmen",
    "More": "Mehr",
    "Back to the usual": "Auf die üblichen Werte",
    "Settings from a PNG": "Einstellungen aus einem PNG",
    "Download": "Herunterladen",
    "Use these settings": "Diese Einstellungen übernehmen",
    "Same with another seed": "Dasselbe mit anderem Seed",
    "Copy link": "Link kopieren",
    "Link copied": "Link kopiert",
    "The browser forbids it": "Der Browser verbietet es",
    "Say what the picture should show, then press Generate or Ctrl + Enter.": (
        "Sag, was das Bild zeigen soll, dann drücke Los oder Strg + Eingabe."
    ),
    "Takes {time}.": "Dauert {time}.",
    "Takes {time}, beside 1 other picture.": "Dauert {time}, neben 1 anderen Bild.",
    "Takes {time}, beside {others} other pictures.": "Dauert {time}, neben {others} anderen Bildern.",
    "about {seconds} s": "etwa {seconds} s",
    "about {minutes} min": "etwa {minutes} min",
    "Waiting": "Wartet",
    "Next in line": "Als Nächstes an der Reihe",
    "Next in line, {time}": "Als Nächstes an der Reihe, {time}",
    "{place}st in line": "Platz {place} in der Reihe",
    "{place}nd in line": "Platz {place} in der Reihe",
    "{place}rd in line": "Platz {place} in der Reihe",
    "{place}th in line": "Platz {place} in der Reihe",
    "{place}st in line, {time}": "Platz {place} in der Reihe, {time}",
    "{place}nd in line, {time}": "Platz {place} in der Reihe, {time}",
    "{place}rd in line, {time}": "Platz {place} in der Reihe, {time}",
    "{place}th in line, {time}": "Platz {place} in der Reihe, {time}",
    "{stage} {step} of {of}": "{stage} {step} von {of}",
    "{stage} {step} of {of}, {time} left": "{stage} {step} von {of}, noch {time}",
    "{stage}, {time} left": "{stage}, noch {time}",
    "{stage} {step} of {of}, picture {image} of {images}": "{stage} {step} von {of}, Bild {image} von {images}",
    "{stage} {step} of {of}, picture {image} of {images}, {time} left": (
        "{stage} {step} von {of}, Bild {image} von {images}, noch {time}"
    ),
    "{stage}, picture {image} of {images}": "{stage}, Bild {image} von {images}",
    "{stage}, picture {image} of {images}, {time} left": "{stage}, Bild {image} von {images}, noch {time}",
    "Prior": "Prior",
    "Decoder": "Decoder",
    "Finished": "Fertig",
    "Done": "Fertig",
    "Progress": "Fortschritt",
    "1 picture in {seconds} s": "1 Bild in {seconds} s",
    "{count} pictures in {seconds} s": "{count} Bilder in {seconds} s",
    "Stopped.": "Angehalten.",
    "No picture was finished.": "Kein Bild wurde fertig.",
    "The finished picture is kept.": "Das fertige Bild bleibt.",
    "The {count} finished pictures are kept.": "Die {count} fertigen Bilder bleiben.",
    "{tokens} of {limit} tokens": "{tokens} von {limit} Token",
    "Beyond the first {limit}:": "Jenseits der ersten {limit}:",
    "It has never seen": "Nie gesehen hat es",
    "(try": "(versuch",
    "and {count} more": "und {count} weitere",
    "It knows {count} things, such as {things}.": "Es kennt {count} Dinge, etwa {things}.",
    "It knows 1 thing, such as {things}.": "Es kennt 1 Ding, etwa {things}.",
    "It knows such words as {things}.": "Es kennt Wörter wie {things}.",
    "{parts}, {total} s in all": "{parts}, {total} s im Ganzen",
    "As drawn": "Wie gezeichnet",
    "Picture {number}, as drawn": "Bild {number}, wie gezeichnet",
    "As read": "Wie gelesen",
    "Time": "Zeit",
    "Checkpoint": "Checkpoint",
    "LoRA": "LoRA",
    "Device": "Gerät",
    "Numbers": "Zahlen",
    "Attention": "Attention",
    "Offload": "Auslagern",
    "Compiled": "Kompiliert",
    "yes": "ja",
    "no": "nein",
    "on": "an",
    "off": "aus",
    "Settings from the link.": "Einstellungen aus dem Link.",
    "The server no longer knows how these pictures were drawn, but their files do: drop one of them on the page.": (
        "Der Server weiß nicht mehr, wie diese Bilder gezeichnet wurden, aber ihre Dateien wissen es: Zieh eine davon auf"
        " die Seite."
    ),
    "Settings from a picture by {program}.": "Einstellungen aus einem Bild von {program}.",
    "Settings from a picture by {program}, drawn with {checkpoint}.": (
        "Einstellungen aus einem Bild von {program}, gezeichnet mit {checkpoint}."
    ),
    "another program": "einem anderen Programm",
    "Left out, since there is no such setting here: {names}.": (
        "Ausgelassen, weil es diese Einstellungen hier nicht gibt: {names}."
    ),
}

_COMPARING = {
    "Compare": "Vergleichen",
    "The comparison": "Der Vergleich",
    "Vary one or two settings and see the pictures side by side. All the rest is as set under Draw. A comparison has at"
    " most 36 pictures.": (
        "Ändere eine oder zwei Einstellungen und sieh die Bilder nebeneinander. Alles Übrige gilt, wie es unter Zeichnen"
        " steht. Ein Vergleich hat höchstens 36 Bilder."
    ),
    "Variants stand in braces, a bar between them, for Prompt variants below.": (
        "Varianten stehen in geschweiften Klammern, ein Strich zwischen ihnen, für die Prompt-Varianten darunter."
    ),
    "Across": "Nach rechts",
    "Down": "Nach unten",
    "What changes from left to right.": "Was sich von links nach rechts ändert.",
    "What changes from top to bottom.": "Was sich von oben nach unten ändert.",
    "Values across": "Werte nach rechts",
    "Values down": "Werte nach unten",
    "Such as 1, 2, 3 or 1-4; {least} to {most}.": "Etwa 1, 2, 3 oder 1-4; {least} bis {most}.",
    "Such as 1, 2, 3 or 1-4; 0 to 4294967295.": "Etwa 1, 2, 3 oder 1-4; 0 bis 4294967295.",
    "Such as 1, 2, 3 or 1-4; 1 to 100.": "Etwa 1, 2, 3 oder 1-4; 1 bis 100.",
    "In pixels, such as 256x384, or 256 for a square.": "In Pixeln, etwa 256x384, oder 256 für ein Quadrat.",
    "nothing": "nichts",
    "Size": "Größe",
    "Prompt variants": "Prompt-Varianten",
    "Choose what to vary, then press Compare.": "Wähle, was sich ändern soll, dann drücke Vergleichen.",
    "Download as one picture": "Als ein Bild herunterladen",
    "Slide between two pictures": "Zwischen zwei Bildern schieben",
    "Left": "Links",
    "Right": "Rechts",
    "Left | Right": "Links | Rechts",
    "Cells of the table, and what was drawn.": "Felder der Tabelle, und was gezeichnet wurde.",
    "Drag the line over the picture to compare.": "Zieh die Linie über das Bild, um zu vergleichen.",
    "Draw or compare two pictures first; then choose them here.": (
        "Zeichne oder vergleiche erst zwei Bilder, dann wähle sie hier."
    ),
    "{pictures}; how long that takes is known once one of this size has been drawn.": (
        "{pictures}; wie lange das dauert, weiß man, wenn eines dieser Größe gezeichnet ist."
    ),
    "1 picture": "1 Bild",
    "{count} pictures": "{count} Bilder",
    "1 picture, about {time}": "1 Bild, etwa {time}",
    "{count} pictures, about {time}": "{count} Bilder, etwa {time}",
    "{done} of {whole} pictures, {stage}": "{done} von {whole} Bildern, {stage}",
    "{done} of {whole} pictures in {seconds} s; the others say why they are missing.": (
        "{done} von {whole} Bildern in {seconds} s; die anderen sagen, warum sie fehlen."
    ),
    "Across and down are the same setting; choose another for one of them, or none.": (
        "Nach rechts und nach unten ändert sich dieselbe Einstellung; wähle für eine davon eine andere oder keine."
    ),
    "Nothing is varied; choose a setting across, down or both.": (
        "Nichts ändert sich; wähle eine Einstellung nach rechts, nach unten oder beides."
    ),
    "The prompt has no variants; write some into it, such as a {cat|dog} in the snow.": (
        "Der Prompt hat keine Varianten; schreibe welche hinein, etwa a {cat|dog} in the snow."
    ),
    "The prompt has variants in braces; choose Prompt variants across or down, or write \\{ for a brace.": (
        "Der Prompt hat Varianten in geschweiften Klammern; wähle Prompt-Varianten nach rechts oder nach unten, oder"
        " schreibe \\{ für eine Klammer."
    ),
    "The prompt has variants within variants; write each of them out, as in {a red cat|a blue cat|a dog}.": (
        "Der Prompt hat Varianten in Varianten; schreibe jede aus, wie in {a red cat|a blue cat|a dog}."
    ),
    "A bracket of the prompt opens in one variant and closes in another; close it in the same one, or put it around"
    " the braces, as in ({cat|dog})1.5.": (
        "Eine Klammer des Prompts geht in einer Variante auf und in einer anderen zu; schließe sie in derselben, oder"
        " setze sie um die geschweiften, wie in ({cat|dog})1.5."
    ),
    "There is no such setting to compare; choose one of the list.": (
        "So eine Einstellung gibt es nicht zu vergleichen; wähle eine aus der Liste."
    ),
    "The values of {label} are too long; type at most {most} characters.": (
        "Die Werte für {label} sind zu lang; gib höchstens {most} Zeichen ein."
    ),
    "{label} has no values to compare; type some, such as {example}.": (
        "{label} hat keine Werte zum Vergleichen; gib welche ein, etwa {example}."
    ),
    "1, 2, 3 or 1-4": "1, 2, 3 oder 1-4",
    "{label} has {count} values; a comparison has at most {most} pictures, so leave some out.": (
        "{label} hat {count} Werte; ein Vergleich hat höchstens {most} Bilder, also lass einige weg."
    ),
    "{across} across and {down} down are {count} pictures; a comparison has at most {most}, so leave some values out.": (
        "{across} nach rechts und {down} nach unten sind {count} Bilder; ein Vergleich hat höchstens {most}, also lass"
        " einige Werte weg."
    ),
    "{label} cannot go on by 0; type a larger step, such as 1-4 by 1.": (
        "{label} kommt mit Schritten von 0 nicht weiter; gib einen größeren Schritt ein, etwa 1-4 by 1."
    ),
    "A size is a side in pixels, such as 256, or width x height, such as 256x384.": (
        "Eine Größe ist eine Seite in Pixeln, etwa 256, oder Breite x Höhe, etwa 256x384."
    ),
    "(no prompt)": "(kein Prompt)",
}

_READING = {
    "Longer than {limit} tokens: from '{words}' on it is read in further rows.": (
        "Länger als {limit} Token: ab „{words}“ wird in weiteren Reihen gelesen."
    ),
    "Cut off after {limit} tokens: from '{words}' on. Prompt weighting reads longer text.": (
        "Abgeschnitten nach {limit} Token: ab „{words}“. Mit Gewichtung im Prompt wird längerer Text gelesen."
    ),
    "Read as 1 prompt, {how} with the weight {weights}.": "Gelesen als 1 Prompt, {how} mit dem Gewicht {weights}.",
    "Read as {count} prompts, {how} with the weight {weights}.": (
        "Gelesen als {count} Prompts, {how} mit dem Gewicht {weights}."
    ),
    "blended": "gemischt",
    "put side by side": "nebeneinandergestellt",
    "Read {words}. For the text itself write {escaped} or turn prompt weighting off.": (
        "Gelesen: {words}. Für den Text selbst schreibe {escaped}, oder schalte die Gewichtung im Prompt aus."
    ),
    "Brackets, quotes, + and - behind a backslash are read as text, without the backslash.": (
        "Klammern, Anführungszeichen, + und - hinter einem Backslash gelten als Text, ohne den Backslash."
    ),
    "A bracket without its partner is read as text.": "Eine Klammer ohne ihr Gegenstück gilt als Text.",
    "A weight behind empty brackets is read as text.": "Ein Gewicht hinter leeren Klammern gilt als Text.",
    "A weight that comes to 1 changes nothing; it is left out together with its brackets.": (
        "Ein Gewicht, das 1 ergibt, ändert nichts; es fällt mitsamt seinen Klammern weg."
    ),
    "(words:1.3) is how other programs write a weight. It is read as text; here it is (words)1.3.": (
        "(words:1.3) schreiben andere Programme für ein Gewicht. Es gilt als Text; hier heißt es (words)1.3."
    ),
    "Negative prompt: {said}": "Negativer Prompt: {said}",
    "The text is {count} characters long; shorten it to at most {most}.": (
        "Der Text ist {count} Zeichen lang; kürze auf höchstens {most}."
    ),
    "The text holds half of a character (a lone surrogate); remove it.": (
        "Der Text enthält ein halbes Zeichen (ein einzelnes Surrogat); entferne es."
    ),
    "The text makes {tokens} tokens, more than fit in {rows} rows; shorten it, or turn prompt weighting off.": (
        "Der Text ergibt {tokens} Token, mehr als in {rows} Reihen passen; kürze ihn, oder schalte die Gewichtung im Prompt"
        " aus."
    ),
    ".blend() and .and() take at most {most} prompts; leave some out, or turn prompt weighting off.": (
        ".blend() und .and() nehmen höchstens {most} Prompts; lass einige weg, oder schalte die Gewichtung im Prompt aus."
    ),
    "More than {most} passages weigh less than 1; weaken fewer of them, or turn prompt weighting off.": (
        "Mehr als {most} Stellen wiegen weniger als 1; schwäche weniger davon, oder schalte die Gewichtung im Prompt aus."
    ),
    "withLora() loads nothing here; remove it, or turn prompt weighting off.": (
        "withLora() lädt hier nichts; entferne es, oder schalte die Gewichtung im Prompt aus."
    ),
    ".swap() is not done here; write the prompt with the word you want, or turn prompt weighting off.": (
        ".swap() gibt es hier nicht; schreibe den Prompt mit dem Wort, das du willst, oder schalte die Gewichtung im Prompt"
        " aus."
    ),
    ".attend() is not read here; write (words)1.5, or turn prompt weighting off.": (
        ".attend() wird hier nicht gelesen; schreibe (words)1.5, oder schalte die Gewichtung im Prompt aus."
    ),
    '.{join}() must make up the whole prompt, as in ("a cat", "a dog").blend(0.7, 0.3), with every bracket and quote'
    " closed; brackets that are text are written \\( and \\), or turn prompt weighting off.": (
        '.{join}() muss der ganze Prompt sein, wie in ("a cat", "a dog").blend(0.7, 0.3), und jede Klammer und jedes'
        " Anführungszeichen geschlossen; Klammern, die Text sind, schreibt man \\( und \\), oder schalte die Gewichtung im"
        " Prompt aus."
    ),
    "A weight is larger than {most}; use a smaller number or fewer +, or turn prompt weighting off.": (
        "Ein Gewicht ist größer als {most}; nimm eine kleinere Zahl oder weniger +, oder schalte die Gewichtung im Prompt"
        " aus."
    ),
    "More than {most} brackets are open at once; close or remove some, or turn prompt weighting off.": (
        "Mehr als {most} Klammern sind zugleich offen; schließe oder entferne einige, oder schalte die Gewichtung im Prompt"
        " aus."
    ),
    "The weights of .{join}() must be numbers, as in .{join_}(0.7, 0.3); correct them, or turn prompt weighting off.": (
        "Die Gewichte von .{join}() müssen Zahlen sein, wie in .{join_}(0.7, 0.3); berichtige sie, oder schalte die"
        " Gewichtung im Prompt aus."
    ),
    "The prompts of .{join}() are {prompts}, its weights {weights}; give one for each, or none, or turn prompt weighting"
    " off.": (
        "Die Prompts von .{join}() sind {prompts}, seine Gewichte {weights}; gib für jeden eines an, oder keines, oder"
        " schalte die Gewichtung im Prompt aus."
    ),
    "The weights of .{join}() are too large, or cancel out; choose others, or turn prompt weighting off.": (
        "Die Gewichte von .{join}() sind zu groß, oder heben sich auf; wähle andere, oder schalte die Gewichtung im Prompt"
        " aus."
    ),
}

_EXPLAINING = {
    "How it works": "Wie es geht",
    "Würstchen draws in three stages, the first of them in a very small space. See them at work on a picture of yours, in"
    " the numbers that the networks themselves computed.": (
        "Würstchen zeichnet in drei Stufen, die erste davon in einem sehr kleinen Raum. Sieh ihnen bei einem deiner Bilder"
        " zu, in den Zahlen, die die Netze selbst berechnet haben."
    ),
    "Nothing has been drawn yet. Draw a picture, then come back.": (
        "Noch ist nichts gezeichnet. Zeichne ein Bild, dann komm wieder."
    ),
    "The picture is drawn once more, as it was, and every step is kept for you to look at.": (
        "Das Bild wird noch einmal gezeichnet, so wie es war, und jeder Schritt aufgehoben, damit du ihn ansehen kannst."
    ),
    "That picture is no longer there; choose another.": "Dieses Bild ist nicht mehr da; wähle ein anderes.",
    "This server cannot keep the steps of a drawing, so there is nothing to show here.": (
        "Dieser Server kann die Schritte einer Zeichnung nicht aufheben, also gibt es hier nichts zu zeigen."
    ),
    "Picture": "Bild",
    "One of those that were drawn last.": "Eines von denen, die zuletzt gezeichnet wurden.",
    "Show how it was made": "Zeigen, wie es entstand",
    "Move the slider to see every step.": "Bewege den Regler, um jeden Schritt zu sehen.",
    "Play": "Abspielen",
    "Step": "Schritt",
    "Show all steps, one after the other.": "Alle Schritte zeigen, einen nach dem anderen.",
    "VQGAN: the finished picture": "VQGAN: das fertige Bild",
    "At each step you see what a stage expects its result to be, with all noise taken away.": (
        "Bei jedem Schritt siehst du, was die Stufe als ihr Ergebnis erwartet, ohne alles Rauschen."
    ),
    "A picture of": "Ein Bild aus",
    "numbers is composed in a space of": "Zahlen wird in einem Raum komponiert von",
    ": {side} times smaller on each side, {fewer} times fewer numbers. Composing in so small a space is what makes"
    " Würstchen cheap to train and quick to run.": (
        ": auf jeder Seite {side}-mal kleiner, {fewer}-mal weniger Zahlen. In einem so kleinen Raum zu komponieren macht"
        " Würstchen billig zu trainieren und schnell."
    ),
    "Stage A": "Stufe A",
    "Stage B": "Stufe B",
    "Stage C": "Stufe C",
    "{size} numbers": "{size} Zahlen",
    "It composes. It begins with noise and takes it away step by step, led by the prompt.": (
        "Er komponiert. Er beginnt mit Rauschen und nimmt es Schritt für Schritt weg, geleitet vom Prompt."
    ),
    "What the prior has composed, colours": "Was der Prior komponiert hat, in Farben",
    "Its {deep} numbers, a map for each": "Seine {deep} Zahlen, für jede eine Karte",
    "Above: where its {deep} numbers differ, the colour differs. Below: each of the {same} numbers as a map of its own,"
    " red above zero and blue below.": (
        "Oben: Wo sich seine {deep} Zahlen unterscheiden, unterscheidet sich die Farbe. Unten: jede der {same} Zahlen als"
        " eigene Karte, rot über null und blau darunter."
    ),
    "It draws the detail. It begins with noise of its own, led by what the prior composed and by the prompt.": (
        "Er zeichnet die Einzelheiten. Er beginnt mit eigenem Rauschen, geleitet von dem, was der Prior komponiert hat,"
        " und vom Prompt."
    ),
    "What the decoder has drawn": "Was der Decoder gezeichnet hat",
    "Its {deep} numbers are shown in the colours that come closest to the finished picture.": (
        "Seine {deep} Zahlen stehen hier in den Farben, die dem fertigen Bild am nächsten kommen."
    ),
    "Its {deep} numbers are shown in the colours that come closest to the finished picture, averaged to {size} here.": (
        "Seine {deep} Zahlen stehen hier in den Farben, die dem fertigen Bild am nächsten kommen, gemittelt auf {size}."
    ),
    "It makes pixels, in a single step: 4 × 4 of them for each position of the decoder's.": (
        "Es macht Pixel, in einem einzigen Schritt: 4 × 4 für jede Stelle des Decoders."
    ),
    "The finished picture": "Das fertige Bild",
    "The picture itself; its file is under Draw.": "Das Bild selbst; seine Datei liegt unter Zeichnen.",
    "Reading the prompt": "Prompt lesen",
    "Waiting and others' turns": "Warten, und andere an der Reihe",
    "{stage}, step {step} of {of}": "{stage}, Schritt {step} von {of}",
    "Where the time went": "Wo die Zeit blieb",
    "{time} in all. A step that was shared with other pictures counts in full.": (
        "{time} im Ganzen. Ein Schritt, den andere Bilder teilten, zählt voll."
    ),
    "{time}, {count} steps of {each}": "{time}, {count} Schritte zu je {each}",
}

_KEEPING = {
    "History": "Verlauf",
    "Search": "Suche",
    "Words of a prompt, or how they begin.": "Wörter eines Prompts, oder wie sie anfangen.",
    "Favourites only": "Nur Lieblingsbilder",
    "Kept pictures": "Aufgehobene Bilder",
    "Newer": "Neuere",
    "Older": "Ältere",
    "☆ Favourite": "☆ Lieblingsbild",
    "★ Not a favourite": "★ Kein Lieblingsbild",
    "Delete": "Löschen",
    "Delete for good": "Endgültig löschen",
    "Keep it": "Behalten",
    "No pictures yet: whatever is drawn here is kept, and found again here.": (
        "Noch keine Bilder: Was hier gezeichnet wird, wird aufgehoben und hier wiedergefunden."
    ),
    "No picture matches; try fewer words, or only the beginning of one.": (
        "Kein Bild passt; versuch es mit weniger Wörtern oder nur dem Anfang eines Wortes."
    ),
    "{first} to {last} of {whole}, newest first.": "{first} bis {last} von {whole}, die neuesten zuerst.",
    "{count} pictures, newest first.": "{count} Bilder, die neuesten zuerst.",
    "those that match": "den passenden",
    "One other PNG file there is left alone.": "Eine andere PNG-Datei dort bleibt unberührt.",
    "{count} other PNG files there are left alone.": "{count} andere PNG-Dateien dort bleiben unberührt.",
    "The folder {folder} is full or cannot be written to: its pictures are shown, new ones may not be kept.": (
        "Der Ordner {folder} ist voll oder lässt sich nicht beschreiben: Seine Bilder sind zu sehen, neue werden vielleicht"
        " nicht aufgehoben."
    ),
    "Not in the history: {reason}": "Nicht im Verlauf: {reason}",
    "The folder {folder} cannot be read ({reason}); see to it, or choose another.": (
        "Der Ordner {folder} ist nicht zu lesen ({reason}); sieh nach ihm, oder wähle einen anderen."
    ),
    "The favourite cannot be noted in {folder} ({reason}); see to the folder and try again.": (
        "Das Lieblingsbild lässt sich in {folder} nicht vermerken ({reason}); sieh nach dem Ordner und versuch es noch"
        " einmal."
    ),
    "The picture cannot be deleted from {folder} ({reason}); see to the folder and try again.": (
        "Das Bild lässt sich in {folder} nicht löschen ({reason}); sieh nach dem Ordner und versuch es noch einmal."
    ),
    "Pictures cannot be written to {folder} ({reason}); choose another folder.": (
        "In {folder} lassen sich keine Bilder schreiben ({reason}); wähle einen anderen Ordner."
    ),
    "The disk is full, so nothing was written to {folder}; free some space and try again.": (
        "Die Platte ist voll, darum wurde in {folder} nichts geschrieben; schaffe Platz und versuch es noch einmal."
    ),
    "Pictures cannot go to {folder}: a file has that name; choose another folder.": (
        "In {folder} können keine Bilder liegen: Eine Datei heißt so; wähle einen anderen Ordner."
    ),
    "That picture is no longer in the folder; the others are shown as they are now.": (
        "Dieses Bild ist nicht mehr im Ordner; die anderen stehen hier, wie sie jetzt sind."
    ),
    "Another program is busy with this history; try again in a moment.": (
        "Ein anderes Programm arbeitet gerade mit diesem Verlauf; versuch es gleich noch einmal."
    ),
}

_TROUBLE = {
    "Something went wrong on our side; it is in the server's log. Try again, or with other settings.": (
        "Bei uns ist etwas schiefgegangen; es steht im Protokoll des Servers. Versuch es noch einmal, oder mit anderen"
        " Einstellungen."
    ),
    "This could not be drawn, through a fault that is in the server's log; try again, or with other settings.": (
        "Das ließ sich nicht zeichnen, durch einen Fehler, der im Protokoll des Servers steht; versuch es noch einmal,"
        " oder mit anderen Einstellungen."
    ),
    "The server has no place left for pictures; free some space on its disk and try again.": (
        "Der Server hat keinen Platz mehr für Bilder; schaffe Platz auf seiner Platte und versuch es noch einmal."
    ),
    "The page was away for too long, so the drawing was stopped. What was finished is kept; draw the rest again.": (
        "Die Seite war zu lange weg, darum wurde das Zeichnen angehalten. Was fertig war, ist noch da; zeichne den Rest"
        " noch einmal."
    ),
    "This comparison goes on in another window of this browser.": (
        "Dieser Vergleich läuft in einem anderen Fenster dieses Browsers weiter."
    ),
    "This drawing goes on in another window of this browser.": (
        "Diese Zeichnung läuft in einem anderen Fenster dieses Browsers weiter."
    ),
    "The program is closing; try again when it is back.": (
        "Das Programm wird beendet; versuch es wieder, wenn es zurück ist."
    ),
    "The engine has stopped through a fault that is in the server's log; try again when it has been restarted.": (
        "Das Zeichnen steht still, durch einen Fehler, der im Protokoll des Servers steht; versuch es wieder, wenn neu"
        " gestartet wurde."
    ),
    "A drawing here ends when its page is left; start it again.": (
        "Eine Zeichnung endet hier, wenn ihre Seite verlassen wird; beginne sie neu."
    ),
    "The drawing was stopped before its end; start it again if it is still wanted.": (
        "Die Zeichnung wurde vor ihrem Ende angehalten; beginne sie neu, wenn du sie noch willst."
    ),
    "This drawing is being watched already; close the other page, or wait until it has gone.": (
        "Diese Zeichnung wird schon angesehen; schließe die andere Seite, oder warte, bis sie fort ist."
    ),
    "The device has failed; start the program again, and if it comes again, the computer.": (
        "Das Gerät ist ausgefallen; starte das Programm neu, und wenn es wiederkommt, den Rechner."
    ),
    "The device has not enough memory for {images} of {width} x {height}; choose fewer pictures or a smaller size.": (
        "Das Gerät hat nicht genug Speicher für {images} von {width} x {height}; wähle weniger Bilder oder eine kleinere"
        " Größe."
    ),
    "There is no setting '{name}'. The settings are: {names}.": (
        "Eine Einstellung „{name}“ gibt es nicht. Die Einstellungen sind: {names}."
    ),
    "The file cannot be read ({reason}); choose another.": "Die Datei ist nicht zu lesen ({reason}); wähle eine andere.",
    "There is no such drawing any more; start it again.": "Diese Zeichnung gibt es nicht mehr; beginne sie neu.",
    "The request was stopped before its end; start it again if it is still wanted.": (
        "Die Zeichnung wurde vor ihrem Ende angehalten; beginne sie neu, wenn du sie noch willst."
    ),
    "You have as many pictures in line as one person may have ({count}); try again in a minute.": (
        "Du hast so viele Bilder in der Reihe, wie man haben darf ({count}); versuch es in einer Minute wieder."
    ),
    "You have as many pictures in line as one person may have ({count}); try again in about {wait} s.": (
        "Du hast so viele Bilder in der Reihe, wie man haben darf ({count}); versuch es in etwa {wait} s wieder."
    ),
    "The line is full ({count}); try again in a minute.": "Die Reihe ist voll ({count}); versuch es in einer Minute wieder.",
    "The line is full ({count}); try again in about {wait} s.": (
        "Die Reihe ist voll ({count}); versuch es in etwa {wait} s wieder."
    ),
    "The device has not enough memory for a picture of {width} x {height}; choose a smaller size.": (
        "Das Gerät hat nicht genug Speicher für ein Bild von {width} x {height}; wähle eine kleinere Größe."
    ),
    "{label} must be text.": "{label} muss Text sein.",
    "{label} must be true or false.": "{label} muss an oder aus sein.",
    "{label} must be one of: {choices}.": "{label} muss eines sein von: {choices}.",
    "{label} must be a whole number from {least} to {most}.": "{label} muss eine ganze Zahl von {least} bis {most} sein.",
    "{label} must be a number from {least} to {most}.": "{label} muss eine Zahl von {least} bis {most} sein.",
    "{label} is {value}; choose from {least} to {most}.": "{label} ist {value}; wähle von {least} bis {most}.",
    "far too large": "viel zu groß",
    "far too small": "viel zu klein",
    "{label} is {value}, which is not a multiple of {step}; the nearest are {below} and {above}.": (
        "{label} ist {value}, kein Vielfaches von {step}; am nächsten liegen {below} und {above}."
    ),
    "{label} is {count} characters long; shorten it to at most {most}.": (
        "{label} ist {count} Zeichen lang; kürze auf höchstens {most}."
    ),
    "{label} holds the control character {character}; remove it.": (
        "{label} enthält das Steuerzeichen {character}; entferne es."
    ),
    "The negative prompt has no effect, because both guidances are 1 or less.": (
        "Der negative Prompt hat keine Wirkung, weil beide Führungen 1 oder weniger sind."
    ),
    "The file is not a PNG picture; use a PNG file that this demo or a similar program saved.": (
        "Die Datei ist kein PNG-Bild; nimm eine PNG-Datei, die diese Demo oder ein ähnliches Programm gespeichert hat."
    ),
    "The PNG file is damaged or cut short; use the original file.": (
        "Die PNG-Datei ist beschädigt oder abgeschnitten; nimm die ursprüngliche Datei."
    ),
    "The PNG file holds more than a megabyte of text; use the file as it was saved.": (
        "Die PNG-Datei enthält mehr als ein Megabyte Text; nimm die Datei, wie sie gespeichert wurde."
    ),
    "The picture is {width} x {height} pixels; files of up to {most} a side are read.": (
        "Das Bild hat {width} x {height} Pixel; gelesen werden Dateien bis {most} je Seite."
    ),
    "The picture carries no settings: they get lost where a program saves it anew. Use the file as it was saved.": (
        "Das Bild trägt keine Einstellungen: Sie gehen verloren, wo ein Programm es neu speichert. Nimm die Datei, wie sie"
        " gespeichert wurde."
    ),
    "The picture says its settings in a form of another program's own, which is not understood here; copy the prompt by"
    " hand.": (
        "Das Bild nennt seine Einstellungen in der eigenen Form eines anderen Programms, die hier nicht verstanden wird;"
        " übernimm den Prompt von Hand."
    ),
    "The picture was made with ComfyUI, and its graph says the settings in a way that is not understood here; copy the"
    " prompt by hand.": (
        "Das Bild wurde mit ComfyUI gemacht, und sein Graph nennt die Einstellungen auf eine Art, die hier nicht"
        " verstanden wird; übernimm den Prompt von Hand."
    ),
    "The picture's own record is damaged; use the file as it was saved.": (
        "Die Angaben im Bild sind beschädigt; nimm die Datei, wie sie gespeichert wurde."
    ),
    "The picture was drawn by a newer version of this demo; update it to read the settings.": (
        "Das Bild stammt von einer neueren Version dieser Demo; aktualisiere sie, um die Einstellungen zu lesen."
    ),
}

TEXTS: Mapping[str, str] = MappingProxyType(
    _SETTINGS | _DRAWING | _READING | _COMPARING | _EXPLAINING | _KEEPING | _TROUBLE
)

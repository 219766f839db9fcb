"use strict";
// What works beyond plain forms: live lists (htmx), the bar of an upload, a look at a picture or voice, drafts, keys.
const one = (selector, within = document) => within.querySelector(selector);
const paragraph = (text, kind) => Object.assign(document.createElement("p"), { textContent: text, className: kind });
// The one polite status of a page. What is seen elsewhere on it is only told to screen readers.
const say = (text, kind = "box good") => { one("#said").replaceChildren(...(text ? [paragraph(text, kind)] : [])); closable(); };
const closable = () => {
	const close = Object.assign(document.createElement("button"), { type: "button", className: "small", textContent: "Close", onclick: () => say("") });
	one("#said .box")?.append(close);
};
const tell = (text) => say(text, "hidden");
// What was said once is not said again by a reload.
const place = new URL(location.href);
if (place.searchParams.has("said")) { for (const name of ["said", "seal"]) place.searchParams.delete(name); history.replaceState(null, "", place); }
closable();
one("#problem")?.focus();
document.addEventListener("click", (event) => {
	const link = event.target.closest("#problem a"), field = link && one(link.getAttribute("href"));
	if (!field) return;
	event.preventDefault();
	for (let box = field.closest("details"); box; box = box.parentElement.closest("details")) box.open = true;
	field.focus();
});

// -- the form for a new job ------------------------------------------------------------------------------------------
const form = one("#new");
if (form) {
	const file = one("#image"), draft = "avatard-draft:" + location.pathname;
	const kinds = "textarea, select, input[type=text], input:not([type])";
	const keep = () => {
		if (location.search) return; // a job that is made again is no draft
		const held = { at: Date.now() };
		for (const field of form.querySelectorAll(kinds + ", [name^=kept_]")) held[field.name] = field.value;
		localStorage.setItem(draft, JSON.stringify(held));
	};
	// Shows that a file is with the server already, where it is kept for a day.
	const keptAgain = (held, name) => {
		const ref = held[`kept_${name}`], called = held[`kept_${name}_name`], place = one(`#kept-${name}`);
		if (!ref || place.firstElementChild || Date.now() - held.at > 23 * 3600 * 1000) return;
		const p = paragraph(`${called} is uploaded. `, "");
		for (const [field, value] of [[`kept_${name}`, ref], [`kept_${name}_name`, called]]) p.append(Object.assign(document.createElement("input"), { type: "hidden", name: field, value }));
		const button = Object.assign(document.createElement("button"), { className: "small", name: "do", value: `without-${name}`, textContent: "Leave it out" });
		button.setAttribute("aria-label", `Leave it out: ${called}`);
		p.append(button);
		place.append(p);
		if (place.closest("details")) place.closest("details").open = true;
	};
	const forget = () => localStorage.removeItem(draft);
	if (!location.search && !one("#problem")) {
		try {
			const held = JSON.parse(localStorage.getItem(draft) || "{}");
			for (const field of form.querySelectorAll(kinds)) if (!field.value && held[field.name]) field.value = held[field.name];
			for (const name of ["image", "audio", "rows"]) if (one(`#kept-${name}`)) keptAgain(held, name);
		} catch { forget(); }
	}
	for (const hint of form.querySelectorAll("[data-scripts]")) hint.hidden = false;
	form.addEventListener("input", keep);

	// Takes over parts of an answer: what the server says of the picture and the voice, and which files it has already.
	const take = (html, ids) => {
		const page = new DOMParser().parseFromString(html, "text/html");
		// The answer to a form that was not read to its end says nothing of the files that the server has already.
		if (page.querySelector("[data-unread]")) return page;
		for (const id of ids) { const fresh = page.getElementById(id), old = document.getElementById(id); if (fresh && old) old.replaceWith(document.adoptNode(fresh)); }
		return page;
	};
	// Marks the field that an answer says is wrong, and no other.
	const mark = (page) => {
		for (const old of form.querySelectorAll(".wrong")) old.remove();
		for (const old of form.querySelectorAll("[aria-invalid]")) old.removeAttribute("aria-invalid");
		for (const wrong of page.querySelectorAll("#new .wrong")) {
			const field = document.getElementById(wrong.id.replace("-wrong", ""));
			if (!field) continue;
			field.before(document.adoptNode(wrong));
			field.setAttribute("aria-invalid", "true");
			field.setAttribute("aria-describedby", `${wrong.id} ${field.id}-help`);
		}
	};
	// What was corrected is not called wrong any more.
	form.addEventListener("change", (event) => { if (event.target.getAttribute("aria-invalid")) { one("#problem")?.remove(); mark(new DocumentFragment()); } });
	// What is said of an answer that is none of this server's pages, such as a proxy's.
	const foreign = (status, page) => status === 413 ? "This is more than the server lets through. Send a smaller file, or ask whoever runs it to raise its limit. Nothing is lost."
		: page.querySelector("main p")?.textContent || `The server answered with the error ${status}. Try again; nothing is lost.`;
	const ask = async (what, ids, button) => {
		const data = new FormData(form);
		data.set("do", what);
		button.setAttribute("aria-busy", "true");
		try {
			const answer = await fetch("./", { method: "POST", body: data, headers: { "Accept": "text/html" } });
			const page = take(await answer.text(), ids);
			const problem = page.getElementById("problem"), shown = document.getElementById(ids[0]);
			if (!page.getElementById("new")) { say(foreign(answer.status, page)); button.removeAttribute("aria-busy"); return; }
			if (problem) { problem.removeAttribute("role"); shown.replaceChildren(document.adoptNode(problem)); }
			emptied();
			one("[data-play]")?.play().catch(() => {});
			tell(shown.textContent.trim().replace(/\s+/g, " ") || "It is played.");
			keep();
		} catch { say("The server cannot be reached. Try again; nothing is lost."); }
		button.removeAttribute("aria-busy");
	};
	// A file that the server has need not be sent again.
	const emptied = () => { for (const name of ["image", "audio", "rows"]) if (one(`[name=kept_${name}]`)) one("#" + name).value = ""; };
	const check = one("[value=check]");
	check.addEventListener("click", (event) => { event.preventDefault(); ask("check", ["verdict", "kept-image"], check); });
	for (const hear of form.querySelectorAll("[value^=hear]")) hear.addEventListener("click", (event) => { event.preventDefault(); ask(hear.value, ["heard", "kept-image"], hear); });
	const rows = one("#rows"), tabled = one("[value=table]");
	const lookAtTable = () => ask("table", ["table-look", "kept-rows", "make"], tabled);
	tabled?.addEventListener("click", (event) => { event.preventDefault(); lookAtTable(); });
	rows?.addEventListener("change", () => { if (rows.files.length) { one("#kept-rows").replaceChildren(); lookAtTable(); } });
	if (one("[name=kept_rows]") && !one("#table-look").firstElementChild) lookAtTable(); // after a reload
	form.addEventListener("click", (event) => {
		const name = event.target.closest("[value^=without-]")?.value.replace("without-", "");
		if (!name) return;
		event.preventDefault();
		one(`#kept-${name}`).replaceChildren();
		one({ image: "#verdict", rows: "#table-look" }[name] || "#heard").replaceChildren();
		if (name === "image") one("#preview").hidden = true;
		if (name === "rows") one("#make").textContent = "Make video";
		one("#" + name).focus();
		keep();
	});
	one("#text").addEventListener("change", () => { if (one("[name=kept_rows]")) lookAtTable(); });
	const shown = one("#preview");
	const look = () => {
		if (!file.files.length) return;
		if (shown.src) URL.revokeObjectURL(shown.src);
		shown.src = URL.createObjectURL(file.files[0]);
		shown.hidden = false;
		one("#kept-image").replaceChildren();
		ask("check", ["verdict", "kept-image"], check);
	};
	file.addEventListener("change", look);

	// A picture that is dropped anywhere or pasted is the portrait; a sound the recording; a table makes a batch.
	const put = (list) => {
		for (const given of list) {
			const target = /\.(csv|tsv|jsonl)$/i.test(given.name) ? rows : given.type.startsWith("image/") ? file : given.type.startsWith("audio/") ? one("#audio") : null;
			if (!target) continue;
			const holder = new DataTransfer();
			holder.items.add(given);
			target.files = holder.files;
			if (target !== file) target.closest("details").open = true;
			target.dispatchEvent(new Event("change", { bubbles: true }));
			return true;
		}
		return false;
	};
	const zone = one("#portrait");
	document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
	document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
	document.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); if (!put(event.dataTransfer.files)) say("Only pictures, sounds and tables can be dropped here."); });
	document.addEventListener("paste", (event) => { if (event.clipboardData.files.length && put(event.clipboardData.files)) event.preventDefault(); });

	// Sends the form with a bar; the page stays as it is until the answer is there.
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		const request = new XMLHttpRequest(), data = new FormData(form), bar = one("#sent");
		data.set("do", event.submitter?.value || "make");
		const end = () => { one("#sending").hidden = true; one("#make").disabled = false; };
		request.upload.onprogress = (sent) => { if (sent.lengthComputable) bar.value = 100 * sent.loaded / sent.total; };
		request.onload = () => {
			end();
			if (request.status < 400 && request.responseURL && !request.responseURL.endsWith("/ui/")) { forget(); location.href = request.responseURL; return; }
			const page = take(request.responseText, ["kept-image", "kept-audio", "kept-rows", "table-look", "make"]), problem = page.getElementById("problem"), old = one("#problem");
			if (!problem) { say(foreign(request.status, page)); return; }
			old?.remove();
			form.before(document.adoptNode(problem));
			mark(page);
			one("#problem").focus();
			emptied();
		};
		request.onerror = () => { end(); say("The connection was lost while the form was sent. Send it again: one job is made of it."); };
		request.onabort = () => { end(); say("Sending was stopped. What you typed is still here."); };
		request.open("POST", "./");
		one("#sending").hidden = false;
		one("#make").disabled = true;
		one("#stop").onclick = () => request.abort();
		request.send(data);
	});
}

// -- live pages ------------------------------------------------------------------------------------------------------
// One polite sentence when jobs that are looked at change their states; never for each step of a bar.
const became = { running: "has started", done: "is done", failed: "has failed", cancelled: "is cancelled" };
const statesNow = () => new Map([...document.querySelectorAll("[data-state]")].map((job) => [job.dataset.job, job]));
const states = new Map([...statesNow()].map(([id, job]) => [id, job.dataset.state]));
const begun = new Set([...states].filter(([, state]) => state === "running").map(([id, state]) => id + state)); // between two stages a job waits again
document.addEventListener("htmx:after:sse:message", () => {
	const now = statesNow(), sentences = [];
	for (const [id, job] of now) {
		const state = job.dataset.state;
		if (states.has(id) && states.get(id) !== state && became[state] && !begun.has(id + state)) sentences.push(`${job.dataset.name} ${became[state]}.`);
		states.set(id, state);
		if (state === "running") begun.add(id + state);
	}
	if (sentences.length) say(sentences.length > 3 ? `${sentences.length} jobs have changed.` : sentences.join(" "));
});
document.addEventListener("click", (event) => {
	if (!event.target.closest("#mark")) return;
	event.preventDefault();
	const boxes = [...document.querySelectorAll("[name=job]")], all = boxes.every((box) => box.checked);
	for (const box of boxes) box.checked = !all;
	tell(all ? "No job is marked." : `${boxes.length} jobs are marked.`);
});

// -- copying, and keys -------------------------------------------------------------------------------------------------
for (const button of document.querySelectorAll("[data-copy]")) {
	button.hidden = !navigator.clipboard;
	button.addEventListener("click", async () => { await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent); say("Copied."); });
}
document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
	const ui = document.body.dataset.ui, links = [...document.querySelectorAll("[data-rows] tbody th a")];
	const at = links.indexOf(document.activeElement);
	if (event.key === "/" && one("[data-key='/']")) { event.preventDefault(); one("[data-key='/']").focus(); }
	else if (event.key === "/") location.href = ui + "jobs";
	else if (event.key === "n") location.href = ui;
	else if (event.key === "j" && links.length) links[Math.min(links.length - 1, at + 1)].focus();
	else if (event.key === "k" && links.length) links[Math.max(0, at - 1)].focus();
});

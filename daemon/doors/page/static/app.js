"use strict";
// What works beyond plain forms: live lists (htmx), the bar of an upload, a look at a picture or voice, drafts, keys.
const one = (selector, within = document) => within.querySelector(selector);
const say = (text) => { const place = one("#said"); place.replaceChildren(); if (text) { const p = document.createElement("p"); p.className = "box good"; p.textContent = text; place.append(p); } };

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
		const p = document.createElement("p");
		p.textContent = `${called} is with the server. `;
		for (const [field, value] of [[`kept_${name}`, ref], [`kept_${name}_name`, called]]) p.append(Object.assign(document.createElement("input"), { type: "hidden", name: field, value }));
		place.append(p);
	};
	const forget = () => localStorage.removeItem(draft);
	if (!location.search && !one("#problem")) {
		try {
			const held = JSON.parse(localStorage.getItem(draft) || "{}");
			for (const field of form.querySelectorAll(kinds)) if (!field.value && held[field.name]) field.value = held[field.name];
			for (const name of ["image", "audio"]) keptAgain(held, name);
		} catch { forget(); }
	}
	for (const hint of form.querySelectorAll("[data-scripts]")) hint.hidden = false;
	form.addEventListener("input", keep);
	one("#problem")?.focus();

	// Takes over parts of an answer: what the server says of the picture and the voice, and which files it has already.
	const take = (html, ids) => {
		const page = new DOMParser().parseFromString(html, "text/html");
		// The answer to a form that was not read to its end says nothing of the files that the server has already.
		if (page.querySelector("[data-unread]")) return page;
		for (const id of ids) { const fresh = page.getElementById(id), old = document.getElementById(id); if (fresh && old) old.replaceWith(document.adoptNode(fresh)); }
		return page;
	};
	const ask = async (what, ids, button) => {
		const data = new FormData(form);
		data.set("do", what);
		button.setAttribute("aria-busy", "true");
		try {
			const answer = await fetch("./", { method: "POST", body: data, headers: { "Accept": "text/html" } });
			const page = take(await answer.text(), ids);
			const problem = page.getElementById("problem");
			if (problem) { const place = document.getElementById(ids[0]); place.replaceChildren(document.adoptNode(problem)); }
			if (ids.includes("kept-image") && one("[name=kept_image]")) file.value = "";
			one("[data-play]")?.play().catch(() => {});
			keep();
		} catch { say("The server cannot be reached. Try again; nothing is lost."); }
		button.removeAttribute("aria-busy");
	};
	const check = one("[value=check]"), hear = one("[value=hear]");
	check.addEventListener("click", (event) => { event.preventDefault(); ask("check", ["verdict", "kept-image"], check); });
	hear.addEventListener("click", (event) => { event.preventDefault(); ask("hear", ["heard", "kept-image"], hear); });
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

	// A picture that is dropped anywhere or pasted is the portrait; a sound the recording.
	const put = (list) => {
		for (const given of list) {
			const target = given.type.startsWith("image/") ? file : given.type.startsWith("audio/") ? one("#audio") : null;
			if (!target) continue;
			const holder = new DataTransfer();
			holder.items.add(given);
			target.files = holder.files;
			target.dispatchEvent(new Event("change"));
			if (target !== file) target.closest("details").open = true;
			return true;
		}
		return false;
	};
	const zone = one("#portrait");
	document.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
	document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) zone.classList.remove("over"); });
	document.addEventListener("drop", (event) => { event.preventDefault(); zone.classList.remove("over"); if (put(event.dataTransfer.files)) return; say([...event.dataTransfer.files].some((given) => /\.(csv|tsv|jsonl)$/i.test(given.name)) ? "A table makes a batch: put it into the inbox folder, and follow it here under Jobs." : "Only pictures and sounds can be dropped here."); });
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
			const page = take(request.responseText, ["kept-image", "kept-audio"]), problem = page.getElementById("problem"), old = one("#problem");
			if (!problem) { say(page.querySelector("main p")?.textContent || "The server answered with an error. Try again; nothing is lost."); return; }
			old?.remove();
			form.before(document.adoptNode(problem));
			one("#problem").focus();
			for (const field of [file, one("#audio")]) if (one(`[name=kept_${field.name}]`)) field.value = "";
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
// One polite sentence when a job that is looked at changes its state; never for each step of a bar.
let state = one("[data-state]")?.dataset.state;
document.addEventListener("htmx:after:sse:message", () => {
	const now = one("[data-state]")?.dataset.state, job = one("[data-job]")?.dataset.job;
	if (now && now !== state && ["done", "failed", "cancelled", "running"].includes(now)) say(`${job} is ${now === "running" ? "started" : now}.`);
	state = now;
});

// -- copying, and keys -------------------------------------------------------------------------------------------------
for (const button of document.querySelectorAll("[data-copy]")) {
	button.hidden = !navigator.clipboard;
	button.addEventListener("click", async () => { await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent); say("Copied."); });
}
document.addEventListener("keydown", (event) => {
	if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, [contenteditable]")) return;
	const ui = document.body.dataset.ui, links = [...document.querySelectorAll("[data-rows] th a")];
	const at = links.indexOf(document.activeElement);
	if (event.key === "/" && one("[data-key='/']")) { event.preventDefault(); one("[data-key='/']").focus(); }
	else if (event.key === "/") location.href = ui + "jobs";
	else if (event.key === "n") location.href = ui;
	else if (event.key === "j" && links.length) links[Math.min(links.length - 1, at + 1)].focus();
	else if (event.key === "k" && links.length) links[Math.max(0, at - 1)].focus();
});

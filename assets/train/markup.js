// What stands in the Train tab's board before anything is known of a job, and what it asks.

const TRAIN_MARKUP = `
  <div class="train-none" hidden><p>Nothing has been trained yet.</p>
    <p>Drop at least four pictures on the left; twenty or more of one kind teach best. A taste takes minutes,
    and shows how the model turns to them; an evening makes them its own.</p></div>
  <ul class="train-list" aria-label="trainings"></ul>
  <p class="train-room"></p>
  <section class="train-job" hidden>
    <header><h2></h2><p class="train-state" role="status"></p><div class="train-actions"></div></header>
    <div class="train-share"><i></i></div>
    <form class="train-ask" hidden></form>
    <p class="train-fault" hidden></p>
    <p class="train-warning" hidden>The held-out loss has risen three times in a row: the model begins to learn these
      pictures by heart. Stop here, and paint with an earlier step.</p>
    <div class="train-sight">
      <div class="train-samples">
        <figure><figcaption><b>samples</b><span class="train-sample-step"></span></figcaption>
          <div class="train-box"><canvas role="img" tabindex="0" aria-label="sample grid" hidden></canvas></div></figure>
        <div class="lab-slider" role="slider" tabindex="0" aria-label="training time" aria-valuemin="0">
          <span>early</span><div class="lab-track"><i></i><b></b></div><span>late</span></div>
        <div class="train-result"></div>
        <figure class="train-enlarged" hidden><img alt="the sample, enlarged">
          <figcaption><span role="status"></span><a class="lab-quiet" role="button">Save</a></figcaption></figure>
      </div>
      <div>
        <div class="train-plots lab-plots"></div>
        <button type="button" class="lab-quiet train-curves" data-ask="curves" hidden>Curves as CSV</button>
      </div>
    </div>
    <div class="train-likeness" hidden></div>
    <details class="train-facts"><summary>settings</summary><dl></dl></details>
    <details class="train-log"><summary>log</summary><pre tabindex="0"></pre></details>
  </section>`;

const DEEDS = { stop: "Stop", resume: "Resume", extend: "Extend", keep: "Keep", unkeep: "Kept", rename: "Rename", delete: "Delete" };
const TITLES = { enlarge: "the marked sample, painted anew four times as large", keep: "never offer it for deletion", unkeep: "it is never offered for deletion; press to take that back" };
const MARKS = { stop: "train-poppy", unkeep: "train-kept" };
const ASKING = {
  rename: ({ name }) => `<label>name <input name="name" maxlength="80" required value="${escaped(name).replaceAll('"', "&quot;")}"></label>
    <button class="lab-quiet" data-yes>Rename</button>`,
  extend: () => `<label>steps more <input name="steps" type="number" min="1" max="10000000" value="1000" required></label>
    <button class="lab-quiet" data-yes>Extend</button>`,
  delete: ({ name, may }) => `<p>Delete “${escaped(name)}”${may.includes("unkeep") ? ", which is kept," : ""} with its checkpoints, samples and models?</p>
    <button class="lab-quiet train-poppy" data-yes>Delete for good</button>`,
};

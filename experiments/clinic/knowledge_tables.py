"""The facts of the synthetic clinic, as tables: what `knowledge` reads into its dataclasses.

The medicine is simplified on purpose: five findings make a signature, one test confirms, one drug is first.
"""

__all__ = [
    "CATEGORIES",
    "DISEASES",
    "DRUG_CLASSES",
    "FINDINGS",
    "MEASUREMENTS",
    "OPPOSITES",
    "SIGNATURES",
    "TREATMENTS",
]

# finding | organ system | seen synonyms | unseen synonym
FINDINGS = """
fever             | body   | fever, pyrexia                       | hyperthermia
chills            | body   | chills, rigors                       | shivering
night_sweats      | body   | night sweats, diaphoresis            | nocturnal perspiration
weight_loss       | body   | weight loss, emaciation, wasting     | cachexia
weight_gain       | body   | weight gain, adiposity               | growing waistline
fatigue           | body   | fatigue, tiredness, exhaustion       | lethargy
cough             | lung   | cough, coughing                      | tussis
dyspnea           | lung   | dyspnea, breathlessness              | air hunger
wheezing          | lung   | wheezing, rhonchi                    | whistling breath
pleuritic_pain    | lung   | pleuritic pain, pleurodynia          |
hemoptysis        | lung   | hemoptysis, bloody sputum            | crimson phlegm
sore_throat       | throat | sore throat, odynophagia             | painful swallowing
angina            | heart  | angina, chest tightness              | substernal pressure
palpitations      | heart  | palpitations, heart fluttering       | pounding heartbeat
edema             | heart  | edema, ankle swelling                | dropsy
syncope           | heart  | syncope, fainting                    | blackouts
tachycardia       | heart  | tachycardia, rapid pulse             |
jaundice          | liver  | jaundice, icterus                    | yellow sclerae
itching           | liver  | itching, pruritus                    | scratching
vomiting          | gut    | vomiting, emesis                     | retching
diarrhea          | gut    | diarrhea, loose stools               | watery motions
constipation      | gut    | constipation, obstipation            | infrequent defecation
abdominal_pain    | gut    | abdominal pain, bellyache            | tummy cramps
flank_pain        | kidney | flank pain, loin ache                | nephralgia
hematuria         | kidney | hematuria, bloody urine              |
dysuria           | kidney | dysuria, burning urination           | stranguria
polyuria          | kidney | polyuria, frequent voiding           | copious micturition
thirst            | gland  | thirst, polydipsia                   |
tremor            | brain  | tremor, trembling hands              | shakiness
hair_loss         | skin   | hair loss, alopecia                  | baldness
headache          | brain  | headache, cephalalgia                | throbbing temples
photophobia       | brain  | photophobia, light sensitivity       | glare intolerance
neck_stiffness    | brain  | neck stiffness, nuchal rigidity      | meningismus
confusion         | brain  | confusion, disorientation            | delirium
paresis           | brain  | paresis, limb weakness               | partial paralysis
blurred_vision    | brain  | blurred vision, clouded sight        | visual haze
joint_pain        | joint  | joint pain, arthralgia               | articular soreness
rash              | skin   | rash, erythema, exanthem             | skin eruption
pallor            | blood  | pallor, paleness                     | ashen complexion
lymphadenopathy   | blood  | lymphadenopathy, swollen nodes       | adenomegaly
bruising          | blood  | bruising, ecchymoses                 | purpura
hypoxia           | lung   |                                      |
raised_creatinine | kidney |                                      |
hyperglycemia     | gland  |                                      |
low_hemoglobin    | blood  |                                      |
"""

# finding | quantity | unit | side of the threshold on which it is present | lowest, threshold, highest
MEASUREMENTS = """
fever             | a temperature        |         | above | 36.0, 38.0, 40.9
tachycardia       | a heart rate         |         | above | 55, 100, 149
hypoxia           | an oxygen saturation | percent | below | 80, 90, 99
raised_creatinine | a creatinine         | mg/dl   | above | 0.5, 2.0, 6.9
hyperglycemia     | a glucose            | mmol/l  | above | 4.0, 11.0, 24.9
low_hemoglobin    | a hemoglobin         | g/dl    | below | 6.0, 12.0, 16.9
"""

# two findings that nobody has at once
OPPOSITES = """
weight_loss | weight_gain
diarrhea    | constipation
"""

# disease: its five findings; the last two are the pair withheld from training
SIGNATURES = """
pneumonia        : fever cough hypoxia chills pleuritic_pain
bronchitis       : cough sore_throat fatigue wheezing fever
asthma           : dyspnea cough hypoxia wheezing tachycardia
embolism         : dyspnea pleuritic_pain hypoxia hemoptysis tachycardia
tuberculosis     : cough night_sweats weight_loss hemoptysis lymphadenopathy
infarction       : dyspnea angina syncope vomiting pallor
cardiomyopathy   : dyspnea angina syncope edema palpitations
hepatitis        : jaundice fatigue abdominal_pain vomiting itching
cholangitis      : jaundice fever abdominal_pain chills confusion
cirrhosis        : jaundice edema itching confusion bruising
appendicitis     : abdominal_pain vomiting fever constipation tachycardia
colitis          : abdominal_pain weight_loss fever diarrhea low_hemoglobin
pancreatitis     : abdominal_pain vomiting jaundice hyperglycemia tachycardia
cystitis         : dysuria abdominal_pain fever polyuria hematuria
pyelonephritis   : fever dysuria vomiting flank_pain chills
nephrolithiasis  : flank_pain dysuria raised_creatinine vomiting hematuria
nephritis        : hematuria raised_creatinine fatigue edema headache
diabetes         : weight_loss blurred_vision thirst polyuria hyperglycemia
thyrotoxicosis   : palpitations weight_loss tachycardia tremor diarrhea
myxedema         : fatigue constipation edema weight_gain hair_loss
hypercortisolism : hyperglycemia paresis thirst weight_gain bruising
meningitis       : headache fever photophobia neck_stiffness confusion
migraine         : headache photophobia vomiting blurred_vision neck_stiffness
stroke           : headache blurred_vision syncope paresis confusion
sclerosis        : paresis blurred_vision fatigue tremor polyuria
lupus            : joint_pain rash pleuritic_pain hair_loss photophobia
gout             : joint_pain fever raised_creatinine weight_gain flank_pain
vasculitis       : joint_pain hemoptysis raised_creatinine rash hematuria
anemia           : fatigue pallor palpitations low_hemoglobin syncope
leukemia         : pallor fever low_hemoglobin bruising lymphadenopathy
lymphoma         : lymphadenopathy weight_loss fatigue night_sweats itching
malaria          : fever chills night_sweats jaundice low_hemoglobin
mononucleosis    : fever lymphadenopathy fatigue sore_throat rash
"""

# disease | organ system | category | confirmatory test | mechanism
DISEASES = """
pneumonia        | lung   | bacterial infection     | radiography      | pus in the air sacs
bronchitis       | lung   | viral infection         | auscultation     | swollen bronchial lining
asthma           | lung   | allergic inflammation   | spirometry       | reversible airway narrowing
embolism         | lung   | vessel blockage         | angiography      | a clot in the pulmonary artery
tuberculosis     | lung   | bacterial infection     | microscopy       | caseating granulomas
infarction       | heart  | vessel blockage         | troponin         | a clot in a coronary artery
cardiomyopathy   | heart  | tissue degeneration     | echocardiography | weak ventricular muscle
hepatitis        | liver  | viral infection         | serology         | viral injury of liver cells
cholangitis      | liver  | bacterial infection     | ultrasonography  | infected bile ducts
cirrhosis        | liver  | tissue degeneration     | elastography     | scarring of liver tissue
appendicitis     | gut    | bacterial infection     | ultrasonography  | an obstructed appendix
colitis          | gut    | autoimmune inflammation | colonoscopy      | ulcers of the colon
pancreatitis     | gut    | chemical inflammation   | lipase           | leaking digestive enzymes
cystitis         | kidney | bacterial infection     | urinalysis       | bacteria in the bladder
pyelonephritis   | kidney | bacterial infection     | urinalysis       | bacteria in the renal pelvis
nephrolithiasis  | kidney | duct blockage           | tomography       | stones in the ureter
nephritis        | kidney | autoimmune inflammation | biopsy           | leaking glomeruli
diabetes         | gland  | hormone deficiency      | glycohemoglobin  | lack of insulin
thyrotoxicosis   | gland  | hormone excess          | thyrotropin      | excess thyroid hormone
myxedema         | gland  | hormone deficiency      | thyrotropin      | lack of thyroid hormone
hypercortisolism | gland  | hormone excess          | cortisol         | excess adrenal steroid
meningitis       | brain  | bacterial infection     | puncture         | bacteria in the spinal fluid
migraine         | brain  | nerve dysfunction       | observation      | dilated meningeal vessels
stroke           | brain  | vessel blockage         | tomography       | a clot in a cerebral artery
sclerosis        | brain  | autoimmune inflammation | puncture         | loss of myelin
lupus            | joint  | autoimmune inflammation | serology         | antibodies against nuclei
gout             | joint  | chemical inflammation   | aspiration       | urate crystals
vasculitis       | vessel | autoimmune inflammation | biopsy           | inflamed small arteries
anemia           | blood  | nutrient deficiency     | ferritin         | depleted iron stores
leukemia         | blood  | malignant neoplasm      | cytometry        | malignant marrow cells
lymphoma         | blood  | malignant neoplasm      | biopsy           | malignant lymphocytes
malaria          | blood  | parasitic infection     | microscopy       | parasites in red cells
mononucleosis    | throat | viral infection         | serology         | infected lymphocytes
"""

# kind of disease | its parent
CATEGORIES = """
bacterial infection     | infection
viral infection         | infection
parasitic infection     | infection
allergic inflammation   | inflammation
autoimmune inflammation | inflammation
chemical inflammation   | inflammation
vessel blockage         | blockage
duct blockage           | blockage
hormone deficiency      | imbalance
nutrient deficiency     | imbalance
hormone excess          | imbalance
tissue degeneration     | degeneration
nerve dysfunction       | dysfunction
malignant neoplasm      | neoplasm
"""

# disease | first drug | drug instead of it: under penicillin allergy | in pregnancy | in renal failure
TREATMENTS = """
pneumonia        | amoxicillin        | azithromycin    |                  |
bronchitis       | guaifenesin        |                 |                  |
asthma           | salbutamol         |                 |                  |
embolism         | rivaroxaban        |                 | enoxaparin       | heparin
tuberculosis     | isoniazid          |                 |                  | rifampicin
infarction       | aspirin            |                 | clopidogrel      |
cardiomyopathy   | lisinopril         |                 | hydralazine      | carvedilol
hepatitis        | tenofovir          |                 |                  | entecavir
cholangitis      | piperacillin       | ciprofloxacin   |                  |
cirrhosis        | spironolactone     |                 |                  | furosemide
appendicitis     | ampicillin         | clindamycin     |                  |
colitis          | mesalamine         |                 |                  | budesonide
pancreatitis     | morphine           |                 |                  | fentanyl
cystitis         | trimethoprim       |                 | cephalexin       |
pyelonephritis   | levofloxacin       |                 | ceftriaxone      |
nephrolithiasis  | ketorolac          |                 | acetaminophen    | morphine
nephritis        | prednisone         |                 |                  |
diabetes         | metformin          |                 | insulin          | linagliptin
thyrotoxicosis   | methimazole        |                 | propylthiouracil |
myxedema         | levothyroxine      |                 |                  |
hypercortisolism | ketoconazole       |                 | metyrapone       |
meningitis       | benzylpenicillin   | chloramphenicol |                  |
migraine         | sumatriptan        |                 | acetaminophen    |
stroke           | alteplase          |                 |                  |
sclerosis        | interferon         |                 | glatiramer       |
lupus            | hydroxychloroquine |                 |                  | azathioprine
gout             | indomethacin       |                 | colchicine       | prednisone
vasculitis       | cyclophosphamide   |                 | rituximab        |
anemia           | iron               |                 |                  |
leukemia         | imatinib           |                 | interferon       |
lymphoma         | doxorubicin        |                 | rituximab        |
malaria          | chloroquine        |                 |                  | quinine
mononucleosis    | ibuprofen          |                 | acetaminophen    | acetaminophen
"""

# drug class: its drugs
DRUG_CLASSES = """
penicillin       : amoxicillin piperacillin ampicillin benzylpenicillin
cephalosporin    : cephalexin ceftriaxone
macrolide        : azithromycin
quinolone        : ciprofloxacin levofloxacin
antibiotic       : clindamycin chloramphenicol trimethoprim isoniazid rifampicin
expectorant      : guaifenesin
bronchodilator   : salbutamol
anticoagulant    : rivaroxaban enoxaparin heparin
antiplatelet     : aspirin clopidogrel
thrombolytic     : alteplase
vasodilator      : lisinopril hydralazine
betablocker      : carvedilol
antiviral        : tenofovir entecavir
diuretic         : spironolactone furosemide
steroid          : budesonide prednisone
salicylate       : mesalamine
opioid           : morphine fentanyl
antiphlogistic   : ketorolac indomethacin ibuprofen colchicine
analgesic        : acetaminophen
antidiabetic     : metformin insulin linagliptin
thyrostatic      : methimazole propylthiouracil
hormone          : levothyroxine
antisteroid      : ketoconazole metyrapone
triptan          : sumatriptan
immunomodulator  : interferon glatiramer azathioprine
antibody         : rituximab
cytostatic       : cyclophosphamide doxorubicin imatinib
antimalarial     : hydroxychloroquine chloroquine quinine
mineral          : iron
"""
